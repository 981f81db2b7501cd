"use strict";
// Behaviour of all pages. A page works without it, but does not refresh.
(() => {
  const [TICK_MS, LATE_MS] = [5000, 4000];
  const dialog = document.getElementById("dialog");
  let shownAt = new Date();
  let askedAt = null;

  // On a phone the menu is one long row.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  // Live pages: an event for htmx while somebody can see the page.
  const tick = () => {
    if (!document.hidden && !dialog.open) document.body.dispatchEvent(new Event("tick"));
  };
  document.addEventListener("visibilitychange", tick);

  // The status is 0 when no answer came.
  const stale = (yes, status) => {
    const banner = document.getElementById("stale");
    if (yes) {
      document.getElementById("stale-since").textContent = shownAt.toLocaleTimeString();
      document.getElementById("stale-why").textContent = status
        ? `The server cannot read the present state (HTTP ${status}); it is asked again.`
        : "No answer from the server; it is asked again.";
    }
    banner.hidden = !yes;
  };
  // A server that hangs gives no answer to report: the page says so at the next tick.
  setInterval(() => {
    if (askedAt && Date.now() - askedAt > LATE_MS) stale(true, 0);
    tick();
  }, TICK_MS);
  document.body.addEventListener("htmx:beforeRequest", () => (askedAt = Date.now()));
  document.body.addEventListener("htmx:afterRequest", (event) => {
    askedAt = null;
    if (event.detail.successful) shownAt = new Date();
    stale(!event.detail.successful, event.detail.xhr.status);
  });
  document.body.addEventListener("htmx:afterSwap", () => window.drawCharts());

  // What the reader has opened stays open, and a drawn chart stays drawn.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !(name === "open" && node.tagName === "DETAILS");
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE || !old.classList.contains("chart")) return true;
    old.dataset.series = fresh.dataset.series;
    return false;
  };

  const localTime = (event) => {
    const time = event.target.closest?.("time[data-time]");
    if (!time) return;
    const at = new Date(time.dateTime);
    const utc = at.toISOString().replace("T", " ").slice(0, 19);
    time.title = `${utc} UTC\n${at.toLocaleString()} here`;
  };
  document.addEventListener("mouseover", localTime);
  document.addEventListener("focusin", localTime);

  const copy = async (button) => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
  };

  const openAction = async (link) => {
    const answer = await fetch(link.href, { headers: { "HX-Request": "true" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const form = page.getElementById("action");
    if (!form) {
      location.assign(link.href);
      return;
    }
    dialog.replaceChildren(form);
    dialog.showModal();
  };

  document.addEventListener("click", (event) => {
    const plain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.button);
    const button = event.target.closest("[data-copy]");
    const link = event.target.closest("a[data-dialog]");
    const close = event.target.closest("dialog [data-close]");
    if (button) copy(button);
    if (link && plain) {
      event.preventDefault();
      openAction(link).catch(() => location.assign(link.href));
    }
    if (close) {
      event.preventDefault();
      dialog.close();
    }
    if (event.target === dialog) dialog.close();
  });

  // A second click must not send a form again.
  document.addEventListener("submit", (event) => {
    const button = event.target.querySelector("button:not([type=button])");
    if (button) setTimeout(() => (button.disabled = true));
  });
})();
