// Puts a button beside each address, which copies it; without this, a click on an address selects all of it.
"use strict";
for (const list of document.querySelectorAll("[data-copy]")) {
  const said = list.parentElement.querySelector("[role=status]");
  for (const address of list.querySelectorAll(".address")) {
    const button = document.createElement("button");
    const name = address.dataset.name;
    button.type = "button";
    button.className = "copy";
    button.textContent = list.dataset.copy;
    button.setAttribute("aria-label", `${list.dataset.copy}: ${name}`);
    button.addEventListener("click", async () => {
      const whole = document.createRange();
      whole.selectNodeContents(address);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(whole);
      try {
        // Only a page that came by https may write there; the selection is for any other.
        if (navigator.clipboard) await navigator.clipboard.writeText(address.textContent);
        else if (!document.execCommand("copy")) return;
      } catch {
        return; // It is selected: the reader can copy it by hand.
      }
      said.textContent = `${list.dataset.copied}: ${name}`;
    });
    address.after(button);
  }
}
