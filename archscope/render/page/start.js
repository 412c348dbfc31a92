// Put the views on the page and draw them.

const main = document.getElementById("views");
document.documentElement.classList.add("alive");
document.getElementById("tables").open = false;
const card = new CardView();
const columns = element("div", { class: "columns" }, new MapView().root, card.root, new TableView().root);
if (networks.some((network) => network.memory)) columns.append(new MemoryView().root);
if (networks.some((network) => network.roofline)) columns.append(new RooflineView().root);
if (networks.some((network) => network.graph)) columns.append(new GraphView().root);
main.append(controls(), columns);
change({});
