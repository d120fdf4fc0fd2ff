// Pictures come with the token in a header, so they are fetched here and shown through blob: addresses; the oldest are let go.

import { getBlob } from "./service.js";

const KEPT = 80;
const kept = new Map();

// A picture of the service, {blob, address}: its bytes and the blob: address that shows them; the same picture is fetched once.
export function picture(path) {
  const known = kept.get(path);
  if (known) kept.delete(path);
  const found = known ?? getBlob(path).then((blob) => ({ blob, address: URL.createObjectURL(blob) }));
  kept.set(path, found);
  found.catch(() => kept.delete(path));
  if (kept.size > KEPT) letGo(kept.keys().next().value);
  return found;
}

export async function show(image, path) {
  image.src = (await picture(path)).address;
  await image.decode();
}

// The picture when it comes into view, and not before.
export function showLater(image, path, onLost) {
  const seen = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    show(image, path).catch(() => onLost?.());
  });
  seen.observe(image);
}

function letGo(path) {
  kept.get(path).then(({ address }) => URL.revokeObjectURL(address), () => {});
  kept.delete(path);
}
