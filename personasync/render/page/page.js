"use strict";
(() => {
  const one = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll("li")];
  const folded = (text) => text.normalize("NFKC").toLowerCase();
  const texts = rows.map((row) => folded(row.dataset.search));
  const [search, style, status] = ["search", "style", "status"].map(one);
  const choose = () => {
    const words = folded(search.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, at) => {
      const fits = words.every((word) => texts[at].includes(word))
        && (!style.value || row.dataset.style === style.value)
        && (!status.value || row.dataset.status === status.value);
      row.hidden = !fits;
      shown += fits;
    });
    const all = rows.length;
    one("count").textContent = shown === all ? `${all} ${all === 1 ? "persona" : "personas"}` : `${shown} of ${all}`;
    one("none").hidden = shown > 0 || all === 0;
  };
  const write = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  document.querySelector("form").hidden = false;
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", choose);
  [style, status].forEach((field) => field.addEventListener("change", choose));
  document.querySelectorAll("button").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await write(button.parentElement.querySelector(".copied").innerText);
      one("said").textContent = "";
      one("said").textContent = `Copied: ${button.getAttribute("aria-label").replace(/^Copy the /, "")}`;
      button.focus();
    });
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = "";
      choose();
    }
  });
  choose();
})();
