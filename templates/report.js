(function () {
  "use strict";
  var root = document.documentElement, table = document.getElementById("ops"), first = 15;
  var all = function (selector, where) { return Array.prototype.slice.call((where || document).querySelectorAll(selector)); };
  root.classList.add("js");

  // Theme: the system's, unless chosen here.
  var toggle = document.getElementById("theme");
  var dark = function () { return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches; };
  var label = function () { toggle.textContent = dark() ? "Light" : "Dark"; };
  try { var kept = localStorage.getItem("traceanalyze-theme"); if (kept) { root.dataset.theme = kept; } } catch (e) { /* storage is off */ }
  label();
  toggle.addEventListener("click", function () {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("traceanalyze-theme", root.dataset.theme); } catch (e) { /* storage is off */ }
    label();
  });

  // Sorting: numbers by data-v (unknown last), text by itself; the server's order breaks ties.
  all("table.sortable").forEach(function (sorted) {
    var heads = all("thead th", sorted);
    var units = sorted.tBodies.length > 1 ? all("tbody", sorted) : all("tbody tr", sorted);
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) { button.appendChild(head.firstChild); }
      head.appendChild(button);
      if (!head.hasAttribute("aria-sort")) { head.setAttribute("aria-sort", "none"); }
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "none" ? head.classList.contains("num") : head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var key = function (unit) {
          var cell = (unit.rows ? unit.rows[0] : unit).cells[column], value = cell.getAttribute("data-v");
          return value === null ? cell.textContent.trim().toLowerCase() : value === "" ? null : Number(value);
        };
        units.map(function (unit, i) { return [key(unit), i, unit]; }).sort(function (a, b) {
          if (a[0] === b[0]) { return a[1] - b[1]; }
          if (a[0] === null) { return 1; }
          if (b[0] === null) { return -1; }
          return (a[0] < b[0] ? -1 : 1) * (down ? -1 : 1);
        }).forEach(function (entry) { entry[2].parentNode.appendChild(entry[2]); });
        if (sorted === table) { show(); }
      });
    });
  });

  // Filter box, verdict keys, and the first rows only until asked for all.
  if (!table) { return; }
  var box = document.getElementById("filter"), said = document.getElementById("shown"), more = document.getElementById("all");
  var keys = all("button.key"), everything = all("tbody", table).length <= first;
  function show() {
    var words = box.value.toLowerCase().split(/\s+/).filter(Boolean), off = {}, count = 0, total = 0;
    keys.forEach(function (key) { if (key.getAttribute("aria-pressed") === "false") { off[key.dataset.verdict] = true; } });
    all("tbody", table).forEach(function (body) {
      var text = body.textContent.toLowerCase();
      var out = off[body.dataset.verdict] || words.some(function (word) { return text.indexOf(word) < 0; });
      body.classList.toggle("out", !!out);
      body.classList.toggle("late", !out && count >= first);
      total += 1;
      if (!out) { count += 1; }
    });
    table.classList.toggle("short", !everything && !words.length);
    all(".roofline .point").forEach(function (point) {
      var body = document.getElementById(point.getAttribute("href").slice(1));
      point.classList.toggle("off", !!body && body.classList.contains("out"));
    });
    var shown = table.classList.contains("short") ? Math.min(first, count) : count;
    said.textContent = shown + " of " + total + " rows";
    more.hidden = !table.classList.contains("short") || count <= first;
  }
  box.addEventListener("input", show);
  more.addEventListener("click", function () { everything = true; show(); });
  keys.forEach(function (key) {
    key.addEventListener("click", function () {
      key.setAttribute("aria-pressed", key.getAttribute("aria-pressed") === "false" ? "true" : "false");
      show();
    });
  });
  function reveal() {
    var body = /^#op-\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (!body) { return; }
    if (body.classList.contains("late")) { everything = true; show(); }
    all("details", body).forEach(function (d) { d.open = true; });
    body.scrollIntoView({ block: "center" });
  }
  addEventListener("hashchange", reveal);
  show();
  reveal();

  // Chart: one tab stop, arrows between points, a tooltip for mouse and keyboard alike.
  var tip = document.getElementById("tip"), points = all(".roofline a.point");
  var hide = function () { tip.hidden = true; };
  points.forEach(function (point, i) {
    var title = point.querySelector("title"), text = title.textContent;
    point.setAttribute("aria-label", text.replace(/\n/g, ", "));
    point.removeChild(title);
    point.setAttribute("tabindex", i ? "-1" : "0");
    var ask = function () {
      var at = point.getBoundingClientRect();
      tip.textContent = text;
      tip.hidden = false;
      var left = Math.min(at.left + at.width / 2, document.documentElement.clientWidth - tip.offsetWidth - 8);
      tip.style.left = Math.max(8, left) + scrollX + "px";
      tip.style.top = (at.bottom + 8 + tip.offsetHeight > innerHeight ? at.top - tip.offsetHeight - 8 : at.bottom + 8) + scrollY + "px";
    };
    point.addEventListener("mouseenter", ask);
    point.addEventListener("focus", ask);
    point.addEventListener("mouseleave", hide);
    point.addEventListener("blur", hide);
    point.addEventListener("keydown", function (event) {
      var step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], next = i;
      if (event.key === "Escape") { hide(); }
      if (!step) { return; }
      event.preventDefault();
      do { next = (next + step + points.length) % points.length; } while (points[next].classList.contains("off") && next !== i);
      point.setAttribute("tabindex", "-1");
      points[next].setAttribute("tabindex", "0");
      points[next].focus();
    });
  });

  // Copying a kernel's full name, and the rows as CSV.
  document.addEventListener("click", function (event) {
    if (!event.target.classList.contains("copy-name")) { return; }
    var name = event.target.parentNode.querySelector("code").textContent;
    if (navigator.clipboard) { navigator.clipboard.writeText(name).then(function () { event.target.textContent = "copied"; }, function () {}); }
  });
  document.getElementById("csv").addEventListener("click", function () {
    var rows = JSON.parse(document.getElementById("data").textContent).ops, columns = Object.keys(rows[0] || {});
    var cell = function (value) {
      if (value === null) { return ""; }
      if (typeof value === "number") { return String(value); }
      var text = typeof value === "string" ? value : JSON.stringify(value);
      if (/^\s*[=+\-@]|^[\t\r]/.test(text)) { text = "'" + text; }
      return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
    };
    var lines = [columns.join(",")].concat(rows.map(function (row) { return columns.map(function (c) { return cell(row[c]); }).join(","); }));
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "ops.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
}());
