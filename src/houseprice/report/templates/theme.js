// Before anything is painted: the theme chosen at an earlier visit, and that scripts run at all.
document.documentElement.classList.add("js");
try {
  const chosen = localStorage.getItem("houseprice-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // storage may be forbidden; the system's theme it is
}
