// Light, dark, or as the system has it.

const THEMES = ["auto", "light", "dark"];

function storedTheme() {
  try {
    return THEMES.includes(localStorage.archscopeTheme) ? localStorage.archscopeTheme : "auto";
  } catch {
    return "auto"; // a page in a frame may have no storage
  }
}

function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.archscopeTheme = theme;
  } catch {
    // The choice then holds for this visit.
  }
}

function themeSwitch() {
  const button = element("button", { type: "button", class: "quiet" });
  const show = (theme) => {
    applyTheme(theme);
    button.textContent = `Colours: ${theme}`;
  };
  show(storedTheme());
  button.addEventListener("click", () => {
    const now = THEMES.indexOf(document.documentElement.dataset.theme);
    show(THEMES[(now + 1) % THEMES.length]);
  });
  return button;
}
