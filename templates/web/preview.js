// Asks once a second whether the mail changed, and shows it anew when it did.
"use strict";
const place = document.querySelector("[data-state]");
let seen = place.dataset.seen;
async function look() {
  try {
    const answer = await fetch(place.dataset.state, { cache: "no-store" });
    const now = answer.ok ? await answer.text() : seen;
    if (now !== seen) {
      seen = now;
      for (const frame of document.querySelectorAll("iframe")) frame.contentWindow.location.reload();
    }
  } catch {
    // The service is being restarted: ask again.
  }
  setTimeout(look, 1000);
}
setTimeout(look, 1000);
