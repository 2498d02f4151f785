"""How a report looks: by day, by night, on paper, on a telephone."""

STYLE = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1c2127; --soft: #5c6773; --line: #dce1e6; --field: #f4f6f8;
  --best: #1f6fb4; --default: #d9662b; --other: #a3adb8; --bad: #c02f3a; --good: #2d8a4e; --warn: #9a6a00; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #14181d; --fg: #e3e7eb; --soft: #9aa5b1; --line: #303841; --field: #1d232a;
    --best: #6cb2f0; --default: #f19a67; --other: #66717d; --bad: #f2747d; --good: #67c587; --warn: #e0b04a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 24px 64px; max-width: 1160px; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 30px 0 8px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 22px 0 6px; }
p { margin: 6px 0; max-width: 80ch; }
a { color: var(--best); }
header p, .note, figcaption { color: var(--soft); font-size: 13.5px; }
header p { overflow-wrap: anywhere; max-width: none; }
.verdict { font-size: 18px; line-height: 1.45; margin: 10px 0; }
.verdict b { color: var(--best); overflow-wrap: anywhere; }
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); margin: 14px 0; }
.card { border: 1px solid var(--line); border-top: 4px solid var(--other); border-radius: 6px; padding: 10px 14px; }
.card.best { border-top-color: var(--best); } .card.default { border-top-color: var(--default); }
.card .what { color: var(--soft); font-size: 13px; }
.card .value { font-size: 22px; font-variant-numeric: tabular-nums; }
.card dl { margin: 6px 0 0; display: grid; grid-template-columns: auto 1fr; gap: 0 12px; font-size: 13.5px; }
.card dt { color: var(--soft); } .card dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
.card dd.differs { font-weight: 600; }
.chip { display: inline-block; padding: 0 8px; margin: 0 4px 4px 0; border-radius: 10px; font-size: 13px;
  line-height: 20px;  white-space: nowrap; background: var(--field); border: 1px solid var(--line); }
.chip.finished { color: var(--good); } .chip.failed, .chip.diverged, .chip.unreadable { color: var(--bad); }
.chip.pruned, .chip.stopped, .chip.killed, .chip.running { color: var(--warn); }
.chip.best { color: var(--best); } .chip.default { color: var(--default); }
ul { margin: 6px 0; padding-left: 20px; } li { margin: 3px 0; max-width: 90ch; overflow-wrap: anywhere; }
.warn { color: var(--warn); } .bad { color: var(--bad); } .good { color: var(--good); }
pre { background: var(--field); border: 1px solid var(--line); border-radius: 6px; padding: 9px 12px; margin: 6px 0;
  white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; }
code { font: 13px/1.5 ui-monospace, "SFMono-Regular", Menlo, "DejaVu Sans Mono", monospace; }
.scroll { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th, td { padding: 3px 16px 3px 0; vertical-align: middle; }
td { border-bottom: 1px solid var(--line); } .num { text-align: right; }
td.num, td:first-child, td .chip { white-space: nowrap; }
tr.best td:first-child { box-shadow: inset 3px 0 var(--best); } tr.best td { font-weight: 600; }
tr.default td:first-child { box-shadow: inset 3px 0 var(--default); }
td:first-child, th:first-child { padding-left: 10px; }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--soft); font-size: 13.5px; }
.grid, .wide { display: grid; gap: 16px 20px; margin: 10px 0; }
.grid { grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); }
.wide { grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { width: 100%; height: auto; display: block; background: #fff; border-radius: 4px; }
.four { display: grid; gap: 16px 14px; grid-template-columns: repeat(auto-fit, minmax(min(240px, 100%), 1fr)); }
figcaption { margin-top: 4px; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, "Liberation Sans", sans-serif; }
svg text { fill: var(--soft); } svg .title { fill: var(--fg); font-size: 12.5px; font-weight: 600; }
svg .strong { fill: var(--fg); } svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .rule { stroke: var(--line); stroke-width: 1; fill: none; }
svg .l { fill: none; stroke: var(--other); stroke-width: 1.1; stroke-linejoin: round; opacity: .75; }
svg .l.default { stroke: var(--default); stroke-width: 1.8; opacity: 1; }
svg .l.best { stroke: var(--best); stroke-width: 2; opacity: 1; }
svg .l.top { stroke: var(--best); opacity: .6; } svg .l.thick { stroke-width: 2; opacity: 1; }
svg .l.bad { stroke: var(--bad); }
svg .p { fill: var(--other); } svg .p.default { fill: var(--default); } svg .p.best { fill: var(--best); }
svg .x { stroke: var(--bad); stroke-width: 2; fill: none; }
svg .axis { stroke: var(--soft); fill: none; } svg .halo { paint-order: stroke; stroke: var(--bg); stroke-width: 3px; }
svg .bar { fill: var(--best); } svg .cell { stroke: var(--bg); stroke-width: 2; fill: var(--best); }
.key { font-size: 13px; color: var(--soft); margin: 4px 0 8px; } .key i { display: inline-block; width: 18px;
  height: 0; border-top: 3px solid var(--other); vertical-align: middle; margin: 0 5px 0 14px; }
.key i:first-child { margin-left: 0; }
.key i.best { border-color: var(--best); } .key i.default { border-color: var(--default); }
@media (max-width: 600px) { body { padding: 16px 14px 40px; } h1 { font-size: 22px; } .verdict { font-size: 16px; } }
@media print { details > * { display: block; } section { break-inside: avoid-page; } }
"""
