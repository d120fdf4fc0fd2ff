"""Pieces of HTML for the report: everything that comes from outside is escaped here and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

TextRow = Sequence[object]


def text(value: object) -> str:
    """A value as text."""
    return escape(str(value), quote=True)


def paragraph(*sentences: str) -> str:
    """Sentences of plain text."""
    return f"<p>{text(' '.join(sentences))}</p>"


def section(title: str, *content: str) -> str:
    """A section with its heading; nothing where there is no content.

    Args:
        title: plain text.
        content: HTML.
    """
    body = "".join(content)
    name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{text(title)}</h2>{body}</section>' if body else ""


def table(caption: str, heads: Sequence[str], rows: Sequence[TextRow]) -> str:
    """A table whose first column names its row; columns of numbers stand right, words left.

    Args:
        caption: what it shows.
        heads: of the columns.
        rows: plain values.
    """
    kinds = [_kind([str(row[place]) for row in rows]) for place in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(heads, kinds, strict=True))
    lines = []
    for name, *values in rows:
        cells = "".join(f"<td{kind}>{text(value)}</td>" for value, kind in zip(values, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>')
    body = "".join(lines)
    return scrolling(caption, f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def scrolling(name: str, content: str) -> str:
    """Wide content in a room of its own that scrolls sideways, also by keyboard."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{text(name)}">{content}</div>'


def tiles(values: Sequence[tuple[str, str, str]]) -> str:
    """The few numbers that matter most.

    Args:
        values: name, value, and what it means.
    """
    cells = "".join(f"<div><dt>{text(name)}</dt><dd><b>{text(value)}</b> {text(meaning)}</dd></div>" for name, value, meaning in values)
    return f'<dl class="tiles">{cells}</dl>'


def listing(items: Sequence[str]) -> str:
    """Sentences below each other."""
    return f"<ul>{''.join(f'<li>{text(item)}</li>' for item in items)}</ul>" if items else ""


def jpeg(content: bytes, described: str) -> str:
    """A picture inside of the page.

    Args:
        content: of a JPEG file.
        described: what it shows, for readers that cannot see it.
    """
    return f'<img alt="{text(described)}" src="data:image/jpeg;base64,{base64.b64encode(content).decode("ascii")}">'


def page(title: str, style: str, body: str) -> str:
    """A whole document that fetches nothing and runs nothing: its policy forbids both.

    Args:
        title: plain text.
        style: CSS.
        body: HTML.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{text(title)}</title><style>\n{style}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def _kind(values: Sequence[str]) -> str:
    return "" if all(value[:1].isdigit() or not value for value in values) else ' class="words"'
