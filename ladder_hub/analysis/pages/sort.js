(() => {
  const order = new Intl.Collator("en", { numeric: true });
  const value = row => cell => row.cells[cell].dataset.sort ?? row.cells[cell].textContent;
  for (const heading of document.querySelectorAll("#models thead th")) {
    const button = document.createElement("button"), column = heading.cellIndex;
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const body = heading.closest("table").tBodies[0];
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => {
        const [first, second] = [value(a)(column), value(b)(column)];
        if (!first || !second) return (first ? 0 : 1) - (second ? 0 : 1);
        return (down ? -1 : 1) * order.compare(first, second);
      });
      body.append(...rows);
    });
  }
})();
