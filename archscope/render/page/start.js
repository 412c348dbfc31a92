// Put the views on the page and draw them.

const main = document.getElementById("views");
document.documentElement.classList.add("alive");
document.getElementById("tables").open = false;
const card = new CardView();
const left = element("div", { class: "left" }, new MapView().root, new TableView().root);
if (networks.some((network) => network.memory)) left.append(new MemoryView().root);
if (networks.some((network) => network.roofline)) left.append(new RooflineView().root);
main.append(controls(), element("div", { class: "columns" }, left, card.root));
change({});
