// Put the views on the page and draw them.

const main = document.getElementById("views");
document.documentElement.classList.add("alive");
document.getElementById("tables").open = false;
const card = new CardView();
main.append(controls(), element("div", { class: "columns" },
  element("div", { class: "left" }, new MapView().root, new TableView().root), card.root));
change({});
