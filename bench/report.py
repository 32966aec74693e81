"""How the figures of a run are shown: tables on the terminal, one self-contained HTML page."""
import html
import math
import statistics

COLOURS = {"sentry": "#2b6cb0", "sentry-ptrace": "#90cdf4", "bubblewrap": "#a0aec0",
           "runsc": "#c05621", "runc": "#718096"}
WIDTH, LEFT, BAR = 900, 190, 14
CELL = 25  # a column of the table: figure, spread, ratio to the first column


def ratio(by, name, baseline):
    """The median over the median of the baseline in the same run; None if one is missing or zero."""
    if not by.get(name) or not by.get(baseline) or not statistics.median(by[baseline]):
        return None
    return statistics.median(by[name]) / statistics.median(by[baseline])


def spread(values):
    """Half the distance between the quartiles, as a part of the median."""
    median = statistics.median(values)
    if len(values) < 2 or not median:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / median


def scale(name, v):
    if name.startswith("idle"):
        return f"{v:,.0f}"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if v >= size:
            return f"{v / size:.2f} {unit}"
    return f"{v:.0f} ns"


def cell(bench, by, name, baseline):
    if not by.get(name):
        return f"{'-':>{CELL}}"
    text = f"{scale(bench, statistics.median(by[name]))}{f'±{spread(by[name]):.0%}':>5}"
    if name != baseline:
        r = ratio(by, name, baseline)
        text += f"{r:>8.2f}" if r is not None else f"{'-':>8}"
    return f"{text:>{CELL}}"


def table(results, names, baseline):
    title = f"{'':18}" + "".join(f"{n:>{CELL}}" for n in names)
    rows = [f"{bench:18}" + "".join(cell(bench, by, n, baseline) for n in names)
            for bench, by in results.items() if any(by.get(n) for n in names)]
    return "\n".join([title] + rows)


def groups(baselines):
    """[(baseline, [names])]: what is compared with the same native run stands together."""
    found = {}
    for name, baseline in baselines.items():
        found.setdefault(baseline, []).append(name)
    return found.items()


def tables(results, baselines):
    return "\n\n".join(table(results, names, b) for b, names in groups(baselines))


def bar(y, name, value, axis):
    w = max(2, min(1, math.log10(max(value, 0.1) * 10) / axis) * (WIDTH - LEFT - 90))
    colour = COLOURS.get(name.split("/")[0], "#555")
    return (f'<rect x="{LEFT}" y="{y}" width="{w:.1f}" height="{BAR - 3}" fill="{colour}">'
            f'<title>{html.escape(name)}</title></rect>'
            f'<text x="{LEFT + w + 6:.1f}" y="{y + BAR - 5}">{value:.2f}</text>')


def chart(results, names, baseline):
    shown = []
    for bench, by in results.items():
        found = {n: ratio(by, n, baseline) for n in names if n != baseline}
        found = {n: r for n, r in found.items() if r}
        if found:
            shown.append((bench, found))
    top = max((r for _, found in shown for r in found.values()), default=1)
    axis = math.log10(max(top, 1.1) * 10)
    one = LEFT + 1 / axis * (WIDTH - LEFT - 90)
    parts, y = [], 10
    for bench, found in shown:
        parts.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{html.escape(bench)}</text>')
        for name, value in found.items():
            parts.append(bar(y, name, value, axis))
            y += BAR
        y += 8
    return (f'<h2>{html.escape(baseline)} = 1</h2><svg width="{WIDTH}" height="{y + 10}" role="img">'
            f'<line x1="{one:.1f}" x2="{one:.1f}" y1="0" y2="{y}" stroke="#e53e3e" '
            f'stroke-dasharray="4 3"/>{"".join(parts)}</svg>')


def figures(results, baselines):
    head = "".join(f"<th>{html.escape(n)}</th>" for n in baselines)
    rows = []
    for bench, by in results.items():
        cells = "".join(
            f"<td>{scale(bench, statistics.median(by[n]))} ±{spread(by[n]):.0%}</td>" if by.get(n)
            else "<td>-</td>" for n in baselines)
        rows.append(f"<tr><th>{html.escape(bench)}</th>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def page(results, baselines, about):
    kinds = dict.fromkeys(n.split("/")[0] for n in baselines if not n.startswith("native"))
    legend = " ".join(f'<span><i style="background:{COLOURS.get(n, "#555")}"></i>'
                      f'{html.escape(n)}</span>' for n in kinds)
    charts = "".join(chart(results, names, b) for b, names in groups(baselines) if len(names) > 1)
    return f"""<!doctype html><meta charset="utf-8"><title>sentry benchmarks</title>
<style>body{{font:14px sans-serif;max-width:{WIDTH}px;margin:2em auto;color:#222}}
svg text{{font:12px sans-serif}} i{{display:inline-block;width:1em;height:1em;margin:0 .4em 0 1em}}
table{{border-collapse:collapse;font-size:12px}} td,th{{padding:2px 8px;text-align:right}}</style>
<h1>Cost relative to native</h1><p>{html.escape(about)}</p>
<p>Median ratio to the native figure of the same run; the axis is logarithmic, the line is 1.{legend}</p>
{charts}<h2>Medians, and half the distance between the quartiles</h2>
{figures(results, baselines)}
"""
