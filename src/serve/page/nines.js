// Refreshes the parts that change, every five seconds while somebody looks, until paused.
"use strict";
(() => {
  const parts = ["standing", "content"];
  const box = document.getElementById("live");
  const button = box.querySelector("button");
  let paused = false;
  let failed = false;
  box.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Resume updates" : "Pause updates";
  });
  const refresh = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      failed = false;
      document.title = fresh.title;
      for (const id of parts) {
        const old = document.getElementById(id);
        const next = fresh.getElementById(id);
        // What somebody is using stays as it is.
        if (!next || old.contains(document.activeElement)) continue;
        old.className = next.className;
        if (id === "standing") {
          // Only a sentence that changed is read out, so the heading itself stays.
          const [was, is] = [old, next].map((el) => el.querySelector("h1"));
          if (was.textContent !== is.textContent) was.textContent = is.textContent;
          is.remove();
          old.replaceChildren(was, ...next.childNodes);
        } else {
          old.replaceChildren(...next.childNodes);
        }
      }
    } catch {
      if (failed) return;
      failed = true;
      const facts = document.querySelector("#standing .facts");
      facts.prepend("The monitor does not answer; what is shown here is old. ");
    }
  };
  setInterval(refresh, 5000);
})();
