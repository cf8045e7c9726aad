# SPDX-License-Identifier: GPL-3.0-or-later
"""How report.html looks: light and dark, from a phone's width to a desk, and on paper."""

from __future__ import annotations

STYLE = """
:root {
  --paper: #f6f5f1; --card: #fff; --ink: #1d2326; --soft: #59646a; --line: #dedcd4; --quiet: #f1efe9;
  --pass: #1b6b43; --fail: #a8201a; --amber: #8a5a00; --none: #59646a;
  --pass-bg: #e4f2e9; --fail-bg: #fbe6e4; --amber-bg: #fbefd6; --none-bg: #eceae4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181a; --card: #1d2326; --ink: #e9e7e1; --soft: #a3adb2; --line: #333c40; --quiet: #242b2f;
    --pass: #7fd3a4; --fail: #ff9d94; --amber: #f0c36a; --none: #a3adb2;
    --pass-bg: #17352a; --fail-bg: #43211f; --amber-bg: #3b2f14; --none-bg: #2a3236;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h4, p, ul, ol, dl, dd { margin: 0; padding: 0; }
ul, ol { list-style: none; }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; text-wrap: balance; }
h2 { font-size: 1.2rem; line-height: 1.3; }
.brand { font-weight: 700; letter-spacing: .01em; margin-bottom: 1.1rem; }
.brand span { font-weight: 400; color: var(--soft); margin-left: .4rem; }
.pass { --tone: var(--pass); --wash: var(--pass-bg); }
.fail { --tone: var(--fail); --wash: var(--fail-bg); }
.amber { --tone: var(--amber); --wash: var(--amber-bg); }
.not_tried, .not_applicable { --tone: var(--none); --wash: var(--none-bg); }
.verdict {
  display: flex; gap: 1.2rem; align-items: center; padding: 1.4rem 1.6rem; border-radius: 14px;
  background: var(--wash); border: 1px solid var(--tone);
}
.verdict > .shape {
  flex: none; width: 3.4rem; height: 3.4rem; border-radius: 50%; display: grid; place-items: center;
  font-size: 1.7rem; font-weight: 700; background: var(--tone); color: var(--card);
}
.verdict p { margin-top: .3rem; }
dl {
  display: grid; grid-template-columns: repeat(4, auto); justify-content: space-between; gap: 1rem;
  margin: 1.3rem .2rem 0;
}
dt { font-size: .8rem; color: var(--soft); }
dd { font-weight: 600; overflow-wrap: anywhere; }
nav { margin: 2.4rem 0 1.4rem; }
nav ol { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; margin-top: .8rem; }
nav a {
  display: flex; align-items: center; gap: .7rem; height: 100%; padding: .55rem .8rem; border-radius: 10px;
  background: var(--card); border: 1px solid var(--line); color: inherit; text-decoration: none;
}
nav a:hover { border-color: var(--tone); }
nav a:focus-visible { outline: 3px solid var(--tone); outline-offset: 2px; }
nav .name { flex: 1; line-height: 1.3; }
.number { font-weight: 700; color: var(--soft); min-width: 2.5rem; font-variant-numeric: tabular-nums; }
.badge {
  display: inline-flex; align-items: center; gap: .4em; flex: none; padding: .12rem .65rem .12rem .5rem;
  border-radius: 99px; font-size: .84rem; font-weight: 600; white-space: nowrap; color: var(--tone);
  background: var(--wash); border: 1px solid transparent;
}
.badge.not_tried { border: 1px dashed var(--tone); background: none; }
.badge .shape { font-weight: 700; }
.how { color: var(--soft); max-width: 46rem; margin-bottom: 2rem; }
.practice {
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; margin-top: 1rem; padding: 1.3rem 1.5rem;
  scroll-margin-top: 1rem;
}
.practice.fail { border-color: var(--tone); }
.practice.bare { background: none; border-style: dashed; padding-block: 1rem; }
.practice > header { display: grid; grid-template-columns: auto 1fr auto; gap: .2rem .8rem; align-items: start; }
.practice > header p { color: var(--soft); margin-top: .15rem; }
.practice > header .number { font-size: 1.2rem; line-height: 1.3; min-width: 2.4rem; }
.count { margin: .9rem 0 0 3.2rem; font-size: .9rem; color: var(--soft); }
.controls { margin: .5rem 0 0 3.2rem; }
.control { border-top: 1px solid var(--line); padding: .95rem 0; }
.control .top { display: flex; gap: .8rem; align-items: baseline; }
.control .top .badge { min-width: 6.6rem; }
.says { font-weight: 600; }
.answer {
  margin: .55rem 0 0; padding: .55rem .9rem; background: var(--quiet);
  border-left: 3px solid var(--tone); border-radius: 0 8px 8px 0;
}
.answer h4 { font-size: .78rem; font-weight: 600; color: var(--soft); }
.answer p { overflow-wrap: anywhere; white-space: pre-wrap; font-size: .95rem; }
.where { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin-top: .5rem; font-size: .84rem; color: var(--soft); }
.where b { font-weight: 600; color: var(--ink); }
.where code { margin-left: auto; font: .8rem ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.later { margin: .8rem 0 0 3.2rem; color: var(--soft); }
.bare .later { margin-top: .4rem; }
.controls + .later { border-top: 1px dashed var(--line); padding-top: .8rem; margin-top: 0; }
.later b { color: var(--ink); }
footer { margin-top: 2.5rem; font-size: .85rem; color: var(--soft); }
@media (max-width: 44rem) {
  main { padding: 1.2rem .9rem 3rem; }
  h1 { font-size: 1.35rem; }
  .brand span { display: block; margin: 0; }
  .verdict { padding: 1rem; gap: .9rem; align-items: flex-start; }
  .verdict > .shape { width: 2.4rem; height: 2.4rem; font-size: 1.2rem; }
  dl { grid-template-columns: 1fr 1fr; }
  nav ol { grid-template-columns: 1fr; gap: .35rem; }
  .practice { padding: 1rem; }
  .practice > header { grid-template-columns: auto 1fr; }
  .practice > header .badge { grid-column: 2; justify-self: start; margin-top: .3rem; }
  .count, .controls, .later { margin-left: 0; }
  .control .top { flex-direction: column; gap: .35rem; }
  .control .top .badge { min-width: 0; }
  .where code { margin-left: 0; width: 100%; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --quiet: #fff;
    --pass: #14532d; --fail: #8f1511; --amber: #6b4500; --none: #444; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .control, .practice > header, .verdict { break-inside: avoid; }
  .practice > header { break-after: avoid; }
  .verdict, .badge, .answer { print-color-adjust: exact; }
}
"""
