"""AmortisedWakeSleep with its defaults beside maximum likelihood, on models as users write them.

The models are those of the gallery: a multivariate probit of six items, a censored panel of four visits with a random
intercept, a covariate and missing cells, and epidemics of which a part of the cases is reported. They have no gradient
and declare their parameters. The fit does not know their likelihood, by quadrature or enumeration; it judges the result
on the rows of the fit. "short of" is the difference to the maximum, in nats per row.

    python examples/benchmarks/declared_models.py
    python examples/benchmarks/declared_models.py --tables epidemic --seeds 2

Roughly four minutes on one core. No data are needed.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from _harness import Table, make_parser, maximum_likelihood, parse, print_tables, quiet, timed
from threadpoolctl import threadpool_limits

from skwakesleep import AmortisedWakeSleep

EXAMPLES = Path(__file__).parents[1]
# What is to be reached: the median and the largest of five seeds.
MEDIAN, WORST = 0.02, 0.1


def main():
    parser = make_parser(__doc__, seeds=5, tables=TABLES)
    parser.add_argument("--epochs", type=int, default=200, help="epochs of a fit (default: 200)")
    options = parse(parser, epochs=2, seeds=1)
    with threadpool_limits(1), quiet():
        print_tables(TABLES, options)


def example(name):
    """Return what an example of the gallery defines before its fit: model, values, simulated rows and likelihood."""
    path = EXAMPLES / f"plot_{name}.py"
    names = {}
    exec(compile(path.read_text(encoding="utf-8").partition("# The fit\n")[0], path, "exec"), names)
    return names


def results(options, name, model_name):
    names = example(name)
    model, values, log_likelihood = names[model_name](), names["VALUES"], names["log_likelihood"]
    table = Table(options, ("seed", "short of maximum", "seconds", "threshold"), width=18, digits=4)
    gaps = []
    for seed in range(options.seeds):
        X = names["simulated"](seed)
        estimator = AmortisedWakeSleep(model, max_iter=options.epochs, random_state=seed)
        fitted, seconds = timed(estimator.fit, X)
        reached = log_likelihood(SimpleNamespace(**fitted.params_), X).mean()
        starts = values, fitted.params_
        best = max(maximum_likelihood(model, start, X, log_likelihood) for start in starts)
        gaps.append(best - reached)
        table.row(str(seed), gaps[-1], seconds, None)
    table.row("median", float(np.median(gaps)), None, str(MEDIAN))
    table.row("largest", float(np.max(gaps)), None, str(WORST))


def probit(options):
    """six binary items, one factor, 1000 rows, 12 parameters"""
    results(options, "probit_items", "Items")


def panel(options):
    """four visits with a detection limit and missing cells, a covariate, 1000 rows, 4 parameters"""
    results(options, "censored_panel", "Panel")


def epidemic(options):
    """eight weeks of reports from 400 villages, with their population as covariate, 3 parameters"""
    results(options, "epidemic", "Epidemic")


TABLES = {"probit": probit, "panel": panel, "epidemic": epidemic}

if __name__ == "__main__":
    main()
