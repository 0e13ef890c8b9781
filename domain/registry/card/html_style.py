"""How a card's page looks: light and dark as the reader's system is, and on paper."""

STYLE = """
:root { --ink: #1c232b; --faint: #5c6773; --line: #d9dee4; --paper: #fff; --shade: #f4f6f8;
  --accent: #0b5fa5;
  --bar: #c5dcf0; --good: #1a7f37; --bad: #c62828; --unsure: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --faint: #97a3af; --line: #333c46;
  --paper: #14191f;
  --shade: #1c232b; --accent: #6cb3f0; --bar: #24486a; --good: #56d364; --bad: #ff7b72;
  --unsure: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.5rem 4rem; color: var(--ink);
  background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 0 0 0.75rem; padding-top: 0.5rem; font-size: 1.3rem; line-height: 1.3; }
h3 { margin: 1.1rem 0 0.2rem; font-size: 0.95rem; color: var(--faint); }
p { margin: 0.3rem 0 0.8rem; max-width: 46rem; overflow-wrap: anywhere; }
.lead { margin: 0.5rem 0 1.2rem; font-size: 1.15rem; }
.note, .empty { color: var(--faint); font-size: 0.9rem; }
code { font: 0.86em/1.4 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
dl { margin: 0.6rem 0 1rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
dl.facts > div { display: grid; grid-template-columns: minmax(9rem, 15rem) 1fr; gap: 0 1.2rem;
  padding: 0.15rem 0; }
dl.summary { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 0.9rem 1.5rem;
  padding: 1rem 1.2rem; background: var(--shade); border: 1px solid var(--line); border-radius: 8px; }
dl.summary dt { font-size: 0.85rem; }
dl.summary dd { font-weight: 600; font-variant-numeric: tabular-nums; }
dl.summary div:last-child { grid-column: 1 / -1; }
dl.summary code { font-weight: 400; }
nav ol { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; margin: 1.2rem 0 2rem; padding: 0.8rem 0;
  list-style: none;
  border: solid var(--line); border-width: 1px 0; font-size: 0.92rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section { margin: 0 0 2.2rem; scroll-margin-top: 1rem; }
.table { margin: 0.8rem 0 1rem; overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.92rem; }
th, td { padding: 0.35rem 1.1rem 0.35rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
th:last-child, td:last-child { padding-right: 0; }
td, td code { overflow-wrap: break-word; }
td:first-child { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.number { white-space: normal; }
.bar { display: inline-block; width: 6em; height: 0.7em; margin-left: 0.7em; border-radius: 2px;
  background: linear-gradient(to right, var(--bar) var(--share), transparent 0);
  print-color-adjust: exact; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.unsure { color: var(--unsure); font-weight: 600; }
figure { margin: 1.2rem 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption { margin-top: 0.3rem; color: var(--faint); font-size: 0.88rem; }
@media (max-width: 40rem) { td:first-child { white-space: normal; }
  dl.facts > div { grid-template-columns: 1fr; padding: 0.3rem 0; } }
@media print { :root { --ink: #000; --faint: #444; --line: #bbb; --paper: #fff; --shade: #fff;
  --accent: #000;
  --bar: #ccc; --good: #000; --bad: #000; --unsure: #000; } body { max-width: none; padding: 0;
  font-size: 10pt; }
  nav { display: none; } h2, h3 { break-after: avoid; } figure, tr, dl { break-inside: avoid; }
  p { break-after: avoid; } img { max-height: 17cm; }
  thead { display: table-header-group; } .table { overflow: visible; } }
"""
