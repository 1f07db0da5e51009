// Keeps the last copy of a page that was looked at, with its proof, for when there is no network.
// The network always goes first: a kept copy is shown only where there is no answer.
const KEPT = "consumer-1";
const MOST = 120;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || url.pathname === "/healthz") return;
  event.respondWith(answer(request, url));
});

async function answer(request, url) {
  const cache = await caches.open(KEPT);
  const isFixed = url.pathname.startsWith("/files/") || url.searchParams.has("v");
  if (isFixed) {
    const kept = await cache.match(request);
    if (kept) return kept;
  }
  try {
    const response = await fetch(request);
    if (response.ok) {
      await cache.put(request, response.clone());
      await trim(cache);
    }
    return response;
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}

async function trim(cache) {
  const keys = await cache.keys();
  for (const key of keys.slice(0, Math.max(0, keys.length - MOST))) await cache.delete(key);
}
