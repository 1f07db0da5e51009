// The farmer's service worker. VERSION and SHELL stand in front of this file when it is served: they are
// made from the files themselves, so a changed file is a new worker and a new cache.
/* global VERSION, SHELL */

const CACHE = `guoyuan-farmer-${VERSION}`;
const PAGE = "/farmer";
const NETWORK_PATIENCE_MS = 4000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      await cache.addAll(SHELL.map((path) => new Request(path, { cache: "reload" })));
      await keepPage(await fetch(PAGE, { credentials: "same-origin" })).catch(() => {});
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const names = await caches.keys();
      await Promise.all(
        names.filter((n) => n.startsWith("guoyuan-farmer-") && n !== CACHE).map((n) => caches.delete(n)),
      );
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate" && url.pathname === PAGE) event.respondWith(pageOrKept(request));
  else if (SHELL.some((path) => path.split("?")[0] === url.pathname)) event.respondWith(shell(request));
});

/** The page from the network if it answers soon, otherwise as it last was. */
async function pageOrKept(request) {
  const kept = async () =>
    (await caches.match(PAGE, { ignoreSearch: true, ignoreVary: true })) ?? caches.match("/farmer/offline");
  const late = new Promise((resolve) => setTimeout(async () => resolve((await kept()) ?? null), NETWORK_PATIENCE_MS));
  const fresh = fetch(request).then(async (response) => {
    // Signed out, or a stranger's network: what was kept is older but ours. A redirect is followed by the browser.
    if (response.type === "opaqueredirect" || response.status < 500) {
      await keepPage(response.clone()).catch(() => {});
      return response;
    }
    return (await kept()) ?? response;
  });
  const answer = await Promise.race([fresh.catch(kept), late]);
  return answer ?? fresh.catch(async () => (await kept()) ?? Response.error());
}

/** Keep a page of ours only: signed in, whole, and not what some sign-in portal put in its place. */
async function keepPage(response) {
  if (!response.ok || response.redirected || response.headers.get("x-guoyuan-page") !== "farmer") return;
  const cache = await caches.open(CACHE);
  await cache.put(PAGE, response);
}

async function shell(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(request, { ignoreSearch: true, ignoreVary: true })) ?? fetch(request);
}
