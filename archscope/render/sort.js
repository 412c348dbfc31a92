// Tables whose rows are a list: a click on a heading sorts them by its column.

function sortable(table) {
  const body = table.tBodies[0];
  const given = [...body.rows];
  const rows = given.filter((row) => !row.matches(".total, .note"));
  const last = given.filter((row) => !rows.includes(row));
  const headings = [...table.tHead.rows[0].cells];

  /** Numbers as they are, not as they are written; a cell without one comes last. */
  const value = (row, place) => {
    const { dataset, textContent } = row.cells[place];
    return "value" in dataset ? Number(dataset.value) : textContent.trim();
  };
  const compared = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const missing = (row, place) => row.cells[place].matches(".number") && !("value" in row.cells[place].dataset);

  const sort = (place, order) => {
    const sign = order === "descending" ? -1 : 1;
    const known = rows.filter((row) => !missing(row, place));
    known.sort((a, b) => sign * compared(value(a, place), value(b, place)));
    const sorted = order ? [...known, ...rows.filter((row) => missing(row, place))] : rows;
    body.replaceChildren(...sorted, ...last);
    headings.forEach((heading, other) => {
      heading.setAttribute("aria-sort", other === place && order ? order : "none");
    });
  };

  headings.forEach((heading, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...heading.childNodes);
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
    const orders = heading.matches(".number") ? ["descending", "ascending", null] : ["ascending", "descending", null];
    button.addEventListener("click", () => {
      const now = orders.indexOf(heading.getAttribute("aria-sort"));
      sort(place, orders[(now + 1) % orders.length]);
    });
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
