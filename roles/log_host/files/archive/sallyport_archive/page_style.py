# SPDX-License-Identifier: GPL-3.0-or-later
"""How the page of an export looks: light and dark, on a phone and on paper."""

STYLE = """
:root { --paper: #f6f5f1; --card: #fff; --ink: #1d2326; --soft: #59646a; --line: #dedcd4; --good: #1b6b43;
  --bad: #a8201a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181a; --card: #1d2326; --ink: #e9e7e1; --soft: #a3adb2; --line: #333c40; --good: #7fd3a4;
  --bad: #ff9d94; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 80rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 0; padding: 1rem 1.2rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; background: var(--card); border: 1px solid
  var(--line); }
th, td { text-align: start; vertical-align: top; padding: .5rem .7rem; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { font-size: .8rem; color: var(--soft); font-weight: 600; }
th:nth-child(1) { width: 8rem; } th:nth-child(2), th:nth-child(3) { width: 18%; } th:nth-child(4) { width: 9rem; }
td p { margin: 0 0 .3rem; } td p bdi { white-space: pre-wrap; }
time { font-variant-numeric: tabular-nums; white-space: nowrap; }
small, .small { display: block; font-size: .78rem; color: var(--soft); } td p small { display: inline; }
.small span { margin-inline-end: .8rem; }
.allowed { color: var(--good); } .refused { color: var(--bad); }
.alarm { border: 2px solid var(--bad); border-radius: 12px; padding: .8rem 1rem; font-weight: 600; }
@media (max-width: 44rem) {
  table, tbody, tr, td { display: block; width: auto; } tr:first-child { display: none; } td { border: 0;
  padding: .15rem .7rem; }
  tr { border-top: 1px solid var(--line); padding: .5rem 0; } dl { grid-template-columns: 1fr; gap: 0; } dd {
  margin-bottom: .5rem; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --good: #14532d; --bad: #8f1511; }
  body { font-size: 9pt; } main { max-width: none; padding: 0; } tr, dl { break-inside: avoid; } h2 {
  break-after: avoid; }
}
"""
