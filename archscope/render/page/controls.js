// What is measured, of which pass, and what is searched for.

function controls() {
  const amount = element("select", { id: "amount" });
  for (const each of quantities) amount.append(element("option", { value: each.key }, each.title));
  amount.addEventListener("change", () => change({ key: amount.value }));

  const passes = element("fieldset", { class: "passes" },
    element("legend", { class: "hidden" }, "Pass"));
  const offered = data.amounts.some((a) => a.phase === "backward") ? ["forward", "backward", "both"] : [];
  for (const pass of offered) {
    const input = element("input",
      { type: "radio", name: "pass", value: pass, checked: pass === state.pass });
    input.addEventListener("change", () => change({ pass }));
    passes.append(element("label", {}, input, element("span", {}, pass)));
  }
  views.push(() => { passes.disabled = passesOf(state.key).length < 2; });

  const search = element("input", { type: "search", id: "search", placeholder: "Search layers",
    "aria-label": "Search layers by name, kind or shape" });
  search.addEventListener("input", () => change({ query: search.value }));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  return element("div", { class: "controls", role: "toolbar", "aria-label": "What is shown" },
    element("label", { for: "amount", class: "hidden" }, "Quantity"), amount,
    offered.length ? passes : null, search, themeSwitch());
}
