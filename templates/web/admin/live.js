// Listens for "this page is out of date", fetches it again, and puts its parts in the place of the old ones.
"use strict";
const place = document.querySelector("[data-live]");
const source = new EventSource(place.dataset.live);
let busy = false, again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (answer.status === 401) { location.reload(); return; }
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-part]")) {
        const part = fresh.querySelector(`[data-part="${old.dataset.part}"]`);
        // Whoever is about to press a button, or has chosen something, keeps it.
        const used = old.contains(document.activeElement) || old.querySelector(":checked, details[open]");
        if (part && !used && part.innerHTML !== old.innerHTML) old.replaceWith(document.importNode(part, true));
      }
    }
  } catch {
    // The service is being restarted: the next event comes when it is back.
  } finally {
    busy = false;
    if (again) { again = false; refresh(); }
  }
}
source.onmessage = refresh;
