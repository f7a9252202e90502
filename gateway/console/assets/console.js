// The console's own script: what works without it works better with it.
(() => {
  "use strict";

  // A name that has to be typed enables the button that it is about.
  const check = () => {
    const typed = document.querySelector("[data-typed]");
    const button = typed?.closest("form").querySelector("button[value=propose]");
    if (button) button.disabled = !typed.dataset.typed.toLowerCase().split("|").includes(typed.value.trim().toLowerCase());
  };
  document.addEventListener("input", check);
  document.addEventListener("htmx:after:swap", check);
  check();

  // Enter in a field never withdraws anything: it asks to see the plan.
  document.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && e.target.matches("form[method=post] input:not([type=password])") && e.target.closest("form").querySelector("button[value=propose]")) e.preventDefault();
  });

  // Find: tiles that don't match are dimmed where they are, and Enter opens the only one.
  const find = document.getElementById("q");
  const tiles = () => [...document.querySelectorAll(".board .t")];
  const dim = () => {
    const words = find.value.trim().toLowerCase();
    for (const t of tiles()) t.classList.toggle("dim", words !== "" && !t.dataset.name.toLowerCase().includes(words));
  };
  if (find && tiles().length) {
    find.addEventListener("input", dim);
    document.addEventListener("htmx:after:swap", dim);
    find.form.addEventListener("submit", (e) => {
      const hits = tiles().filter((t) => !t.classList.contains("dim"));
      if (find.value && hits.length === 1) { e.preventDefault(); location.href = hits[0].href; }
    });
    find.form.addEventListener("change", (e) => { if (e.target.type === "radio") e.preventDefault(); });
  }

  // The board is one stop of Tab: arrows go on from there, and letters to a code.
  const board = document.querySelector(".board");
  const stop = () => {
    const all = tiles();
    for (const t of all) if (!t.hasAttribute("tabindex")) t.tabIndex = t === document.activeElement ? 0 : -1;
    if (all.length && !all.some((t) => t.tabIndex === 0)) all[0].tabIndex = 0;
  };
  const go = (t) => { if (!t) return; for (const other of tiles()) other.tabIndex = -1; t.tabIndex = 0; t.focus(); };
  if (board) {
    stop();
    document.addEventListener("htmx:after:swap", stop);
    let typed = "", last = 0;
    document.addEventListener("keydown", (e) => {
      const t = e.target.closest?.(".board .t");
      if (!t || e.ctrlKey || e.metaKey || e.altKey) return;
      const all = tiles(), i = all.indexOf(t), at = t.getBoundingClientRect();
      const row = all.filter((o) => Math.abs(o.getBoundingClientRect().top - at.top) < 4 && o.closest("ul") === t.closest("ul"));
      const beside = (down) => all.map((o) => [o, o.getBoundingClientRect()]).filter(([, r]) => Math.abs(r.left - at.left) < r.width / 2 && (down ? r.top > at.top + 4 : r.top < at.top - 4)).sort((a, b) => (down ? 1 : -1) * (a[1].top - b[1].top))[0]?.[0];
      const to = { ArrowRight: all[i + 1], ArrowLeft: all[i - 1], ArrowDown: beside(true), ArrowUp: beside(false), Home: row[0], End: row.at(-1) };
      if (e.key in to) { e.preventDefault(); go(to[e.key]); return; }
      if (/^[a-zA-Z]$/.test(e.key)) {
        typed = (e.timeStamp - last < 900 ? typed : "") + e.key.toUpperCase();
        last = e.timeStamp;
        go(all.find((o) => o.querySelector("b").textContent.toUpperCase().startsWith(typed)));
      }
    });
  }

  // Keys: / finds; g and a letter go to one of the five places. None changes anything.
  let g = 0;
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select, .board")) return;
    const place = { m: "/", c: "/changes", d: "/demands", e: "/explain", l: "/log" }[e.key];
    if (e.key === "/" && find) { e.preventDefault(); find.focus(); }
    else if (place && e.timeStamp - g < 1500) location.href = place;
    g = e.key === "g" ? e.timeStamp : 0;
  });

  // A document's hash is worked out here: the document goes nowhere.
  document.addEventListener("change", async (e) => {
    const into = e.target.dataset?.hash && document.getElementById(e.target.dataset.hash);
    if (!into || !e.target.files[0] || !crypto.subtle) return;
    const sum = await crypto.subtle.digest("SHA-256", await e.target.files[0].arrayBuffer());
    into.value = [...new Uint8Array(sum)].map((b) => b.toString(16).padStart(2, "0")).join("");
  });

  // Whoever was signed out signs in again; and the page says if it no longer is live.
  const live = document.getElementById("live");
  const isTyped = () => [...document.querySelectorAll("form[method=post] input:not([type=hidden]), form[method=post] textarea")].some((i) => i.value !== i.defaultValue);
  document.addEventListener("signed-out", () => {
    if (!isTyped()) { location.href = "/sign-in?next=" + encodeURIComponent(location.pathname + location.search); return; }
    outdated = true; // what was typed stays, to be copied
    say("Signed out: reload", false);
  });
  let heard = Date.now(), outdated = false;
  const hear = () => { heard = Date.now(); };
  document.addEventListener("ping", hear);
  document.addEventListener("htmx:after:swap", hear);
  document.addEventListener("outdated", () => {
    if (document.querySelector("[data-reload]")) location.reload(); // nobody has typed anything there
    outdated = true;
    say("Changed since: reload", false);
  });
  live?.addEventListener("click", () => { if (outdated) location.reload(); });
  setInterval(() => { if (!outdated && Date.now() - heard > 20000) say("Not live: nothing heard", false); }, 5000);

  // Who approves has read what is shown: what was edited meanwhile is to be read first.
  const plans = new Map();
  const approvals = () => [...document.querySelectorAll("form[action$='/approval']")];
  for (const f of approvals()) plans.set(f.action, f.elements.plan.value);
  document.addEventListener("htmx:after:swap", () => { for (const f of approvals()) if (!plans.has(f.action)) plans.set(f.action, f.elements.plan.value); });
  document.addEventListener("submit", (e) => {
    const f = e.target, now = f.elements.plan?.value;
    if (!plans.has(f.action) || plans.get(f.action) === now) return;
    e.preventDefault();
    plans.set(f.action, now);
    const note = document.createElement("p");
    note.setAttribute("role", "alert");
    note.className = "note bad";
    note.textContent = "It was edited since you opened this page, and is another change now. Nothing was approved. Read it above, then approve it.";
    f.before(note);
  });

  const say = (text, is) => { if (live) { live.firstElementChild.textContent = text; live.classList.toggle("lost", !is); } };
  document.addEventListener("htmx:sse:error", () => say("Not live: trying again", false));
  document.addEventListener("htmx:sse:after:connection", () => { hear(); if (!outdated) say("Live", true); });
})();
