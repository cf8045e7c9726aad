# SPDX-License-Identifier: GPL-3.0-or-later
"""How the page of the day looks: as the kit's report, light and dark, on a phone and on paper."""

from __future__ import annotations

STYLE = """
:root {
  --paper: #f6f5f1; --card: #fff; --ink: #1d2326; --soft: #59646a; --line: #dedcd4; --quiet: #f1efe9;
  --pass: #1b6b43; --fail: #a8201a; --amber: #8a5a00;
  --pass-bg: #e4f2e9; --fail-bg: #fbe6e4; --amber-bg: #fbefd6; --bar: #2f6f9f; --bar-bg: #e3edf4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181a; --card: #1d2326; --ink: #e9e7e1; --soft: #a3adb2; --line: #333c40; --quiet: #242b2f;
    --pass: #7fd3a4; --fail: #ff9d94; --amber: #f0c36a;
    --pass-bg: #17352a; --fail-bg: #43211f; --amber-bg: #3b2f14; --bar: #79b8e6; --bar-bg: #1c3242;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 66rem; margin: 0 auto; padding: 2.2rem 1.5rem 4rem; }
h1, h2, p, dl, dd { margin: 0; }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; line-height: 1.3; margin-bottom: .8rem; }
.brand { font-weight: 700; margin-bottom: 1rem; }
.brand span { font-weight: 400; color: var(--soft); margin-left: .4rem; }
.note, .none { color: var(--soft); }
.good { --tone: var(--pass); --wash: var(--pass-bg); }
.bad { --tone: var(--fail); --wash: var(--fail-bg); }
.warn { --tone: var(--amber); --wash: var(--amber-bg); }
.figures { display: grid; grid-template-columns: repeat(5, 1fr); gap: .7rem; margin: 1.4rem 0 .7rem; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .8rem 1rem; }
.figures div.bad, .figures div.warn { background: var(--wash); border-color: var(--tone); }
.figures dt { font-size: .82rem; color: var(--soft); }
.figures dd { font-size: 1.6rem; line-height: 1.2; font-weight: 700; font-variant-numeric: tabular-nums; }
.figures .bad dd, .figures .warn dd { color: var(--tone); }
.grid2 { display: grid; grid-template-columns: 1fr 1fr; gap: .7rem; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.3rem;
  margin-top: .7rem;
  min-width: 0;
}
.grid2 section { margin-top: 0; }
.grid2 { margin-top: .7rem; }
svg.hours { display: block; width: 100%; height: auto; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .good { fill: var(--bar); }
svg .bad { fill: var(--fail); }
.legend { display: flex; gap: 1.2rem; font-size: .85rem; color: var(--soft); margin-top: .4rem; }
.legend i {
  display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em; background: var(--bar);
}
.legend .bad i { background: var(--fail); }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
.wide { overflow-x: auto; }
.wide + .wide { margin-top: 1.1rem; }
.wide + .note { margin-top: .8rem; }
.note + .wide, .note + .none { margin-top: .5rem; }
th {
  text-align: left; font-weight: 600; font-size: .8rem; color: var(--soft); padding: 0 .7rem .35rem 0;
  white-space: nowrap;
}
td { border-top: 1px solid var(--line); padding: .4rem .7rem .4rem 0; vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n {
  text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding-right: 0; padding-left: .7rem;
}
td.keep { white-space: nowrap; font-variant-numeric: tabular-nums; }
td .bar {
  display: block; height: .38rem; border-radius: 3px; background: var(--bar); margin-top: .25rem; min-width: 2px;
}
td .bar.bad { background: var(--fail); }
.badge {
  display: inline-block; padding: .05rem .6rem; border-radius: 99px; font-size: .82rem; font-weight: 600;
  white-space: nowrap;
  color: var(--tone); background: var(--wash);
}
footer { margin-top: 2rem; font-size: .85rem; color: var(--soft); }
@media (max-width: 48rem) {
  main { padding: 1.2rem .9rem 3rem; }
  h1 { font-size: 1.35rem; }
  .brand span { display: block; margin: 0; }
  .figures { grid-template-columns: 1fr 1fr; }
  .grid2 { grid-template-columns: 1fr; }
  section { padding: .9rem; }
  table.many { min-width: 42rem; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  section { break-inside: avoid; }
  .badge, .bar, svg { print-color-adjust: exact; }
}
"""
