"""What the routes answer: the same as the command line, over a real connection to a real process."""

from __future__ import annotations

import pytest
from on_device import PHOTOS, TRUTHS
from service_running import Service

PREDICTED = {"image", "label", "probability", "top", "sample_id", "generation", "elapsed_ms"}


@pytest.fixture
def photo_bytes() -> bytes:
    return PHOTOS[0].read_bytes()


def multipart(fields: dict[str, str], picture: bytes | None, name: str = "picture") -> tuple[bytes, dict[str, str]]:
    """A form as a browser sends it."""
    parts = [f'--b\r\ncontent-disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode() for key, value in fields.items()]
    if picture is not None:
        head = f'--b\r\ncontent-disposition: form-data; name="{name}"; filename="belt.jpg"\r\ncontent-type: image/jpeg\r\n\r\n'
        parts.append(head.encode() + picture + b"\r\n")
    return b"".join(parts) + b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}


def test_a_raw_picture_is_predicted(service: Service, photo_bytes: bytes) -> None:
    answer = service.predict(photo_bytes, "?top=2&name=belt-017.jpg")
    assert answer.status == 200
    assert set(answer.json) == PREDICTED
    assert len(answer.json["top"]) == 2
    assert answer.json["image"] == "belt-017.jpg"


def test_a_form_is_predicted_as_the_raw_picture_is(service: Service, photo_bytes: bytes) -> None:
    body, headers = multipart({}, photo_bytes)
    answer = service.ask("POST", "/v1/predict", body, headers)
    assert answer.json["image"] == "belt.jpg"
    raw = service.predict(photo_bytes).json
    assert (answer.json["sample_id"], answer.json["top"]) == (raw["sample_id"], raw["top"])


def test_a_picture_is_taught_by_its_sample_id_and_taken_back(service: Service, photo_bytes: bytes) -> None:
    seen = service.predict(photo_bytes).json
    done = service.say("POST", "/v1/corrections", {"sample_id": seen["sample_id"], "label": TRUTHS[0]})
    assert (done.status, done.json["verdict"], done.json["was"]["label"]) == (200, "accepted", seen["label"])
    assert service.predict(photo_bytes).json["label"] == TRUTHS[0]
    again = service.say("POST", "/v1/corrections", {"sample_id": seen["sample_id"], "label": TRUTHS[0]})
    assert (again.status, again.json["verdict"]) == (200, "already_correct")
    number = done.json["id"]
    kept = service.ask("GET", f"/v1/corrections/{number}/picture")
    assert (kept.status, kept.headers["content-type"], kept.body) == (200, "image/jpeg", photo_bytes)
    back = service.ask("POST", f"/v1/corrections/{number}/undo")
    assert (back.status, back.json["ids"]) == (200, [number])
    second = service.ask("POST", f"/v1/corrections/{number}/undo")
    assert (second.status, second.code) == (409, "conflict")
    assert service.predict(photo_bytes).json["label"] == seen["label"]


def test_a_form_with_the_picture_is_taught(service: Service) -> None:
    body, headers = multipart({"label": TRUTHS[1], "dry_run": "true", "views": "0"}, PHOTOS[1].read_bytes())
    before = service.ask("GET", "/v1/corrections").json["count"]
    answer = service.ask("POST", "/v1/corrections", body, headers)
    assert (answer.status, answer.json["verdict"], answer.json["id"], answer.json["image"]) == (200, "accepted", None, "belt.jpg")
    assert service.ask("GET", "/v1/corrections").json["count"] == before


def test_the_history_comes_in_pages_with_the_newest_first(service: Service) -> None:
    for photo, truth in zip(PHOTOS[2:5], TRUTHS[2:5], strict=True):
        sample_id = service.predict(photo.read_bytes()).json["sample_id"]
        assert service.say("POST", "/v1/corrections", {"sample_id": sample_id, "label": truth, "force": True}).status == 200
    whole = [entry["id"] for entry in service.ask("GET", "/v1/corrections?limit=1000").json["corrections"]]
    assert whole == sorted(whole, reverse=True)
    paged, before = [], None
    while before is not None or not paged:
        page = service.ask("GET", f"/v1/corrections?limit=1{f'&before={before}' if before else ''}").json
        paged += [entry["id"] for entry in page["corrections"]]
        before = page["before"]
    assert paged == whole


def test_a_label_is_added_taught_and_removed(service: Service) -> None:
    before = service.ask("GET", "/v1/labels").json
    added = service.say("POST", "/v1/labels", {"name": "newt / Molch"})
    assert (added.status, added.json["spare_classes"]) == (201, before["spare_classes"] - 1)
    assert service.ask("GET", "/v1/labels").json["added"] == ["newt / Molch"]
    twice = service.say("POST", "/v1/labels", {"name": "newt / Molch"})
    assert (twice.status, twice.code) == (409, "conflict")
    removed = service.ask("DELETE", "/v1/labels/newt%20%2F%20Molch")
    assert (removed.status, removed.json["spare_classes"]) == (200, before["spare_classes"])
    gone = service.ask("DELETE", "/v1/labels/newt%20%2F%20Molch")
    assert (gone.status, gone.code) == (404, "not_found")
    assert service.ask("DELETE", f"/v1/labels/{TRUTHS[0]}").status == 422


def test_a_collected_picture_waits_is_shown_and_answered(service: Service) -> None:
    seen = [service.predict(photo.read_bytes(), "?collect=true").json for photo in PHOTOS[5:9]]
    kept = [one["sample_id"] for one in seen if one["queue"]["kept"]]
    assert kept
    page = service.ask("GET", "/v1/queue").json
    assert page["count"] == len(page["waiting"]) == len(kept)
    first = page["waiting"][0]
    assert {"id", "label", "probability", "top", "reason", "score", "image", "added_at"} <= set(first)
    assert first["top"][0] == {"label": first["label"], "probability": first["probability"]}
    assert service.ask("GET", f"/v1/queue/{first['id']}/picture").body[:3] == b"\xff\xd8\xff"
    done = service.say("POST", f"/v1/queue/{first['id']}/label", {"label": TRUTHS[0]})
    assert (done.status, done.json["sample_id"]) == (200, first["id"])
    second = service.say("POST", f"/v1/queue/{first['id']}/label", {"label": TRUTHS[1]})
    assert (second.status, second.code) == (409, "answered")
    assert service.ask("GET", "/v1/queue").json["count"] == len(kept) - 1
    for one in service.ask("GET", "/v1/queue").json["waiting"][:1]:
        assert service.ask("POST", f"/v1/queue/{one['id']}/skip").json == {"sample_id": one["id"], "answer": "skipped"}
    left = service.ask("GET", "/v1/queue").json["count"]
    assert service.ask("DELETE", "/v1/queue").json == {"cleared": left}


def test_accuracy_follows_the_corrections(service: Service) -> None:
    facts = service.ask("GET", "/v1/accuracy").json
    history = service.ask("GET", "/v1/corrections?limit=1000").json["corrections"]
    assert [point["id"] for point in facts["sentinel"]["series"]] == [entry["id"] for entry in reversed(history)]
    assert facts["sentinel"]["size"] == 200
    assert facts["field"]["now"]["low"] <= facts["field"]["now"]["share"] <= facts["field"]["now"]["high"]


def test_monitors_are_told(service: Service) -> None:
    assert service.ask("GET", "/livez", token=None).body == b"ok\n"
    assert service.ask("GET", "/readyz").json == {"status": "ready"}
    assert service.ask("GET", "/v1/health").json["status"] in ("OK", "WARNING")
    assert service.ask("GET", "/v1/info").json["labels"] >= 10
    text = service.ask("GET", "/metrics").body.decode()
    assert 'edge_agent_http_requests_total{method="POST",route="/v1/predict",status="200"}' in text
    assert "edge_agent_sentinel_accuracy_ratio" in text
    assert 'edge_agent_service_under_way{lane="predictions"} 0.0' in text
