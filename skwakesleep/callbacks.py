"""Callbacks for densities, to be set by ``set_callbacks``; they need scikit-learn 1.9 or later."""

from typing import Any

import sklearn

from skwakesleep._adapters._sklearn import HAS_CALLBACKS

__all__ = ["ScoreMonitor"]


class ScoreMonitor:
    """Record the log-likelihood of held-out rows after each epoch.

    scikit-learn's own `ScoringMonitor` scores the training rows, and only where there is a ``y``. This one scores rows
    that it is given, by the estimator's ``score``.

    A fit that starts anew starts a new record; one that goes on, by ``partial_fit`` or a warm start, goes on with it.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to score. They should not be among those trained on.

    verbose : bool, default=False
        Whether to print each score.

    Attributes
    ----------
    epochs_ : list of int
        The epochs after which the rows were scored, counted from one.

    scores_ : list of float
        Mean log-likelihood of the rows after each of these, in nats per row.

    Raises
    ------
    ImportError
        If the version of scikit-learn has no callbacks.

    TypeError
        When training starts, if the estimator has no ``score``, as an `AmortisedWakeSleep` with a model that has no
        likelihood.

    See Also
    --------
    sklearn.callback.ProgressBar : Shows how far training has got.

    Notes
    -----
    Scoring may take longer than the epoch itself, by how much depends on the number of rows and on the estimator's
    ``n_score_particles``.

    A search that trains in other processes sends copies there, which do not send their records back. What remains is
    the record of the final fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.callbacks import ScoreMonitor
    >>> X = np.repeat(np.random.default_rng(0).integers(2, size=(100, 1)), 6, axis=1)
    >>> monitor = ScoreMonitor(X[80:])
    >>> machine = HelmholtzMachine(2, max_iter=20, tol=None, random_state=0).set_callbacks(monitor).fit(X[:80])
    >>> monitor.epochs_[-1], monitor.scores_[-1] == machine.score(X[80:])
    (20, True)
    >>> monitor.scores_[-1] > monitor.scores_[0] > -4.1  # nats per row; fair coins have -4.2
    True
    """

    def __init__(self, X: Any, *, verbose: bool = False) -> None:
        if not HAS_CALLBACKS:
            raise ImportError(
                f"ScoreMonitor needs scikit-learn 1.9 or later: version {sklearn.__version__} has no callbacks. Call "
                "partial_fit and score in turn instead."
            )
        self.X = X
        self.verbose = verbose
        self.epochs_: list[int] = []
        self.scores_: list[float] = []

    def setup(self, estimator: Any, context: Any) -> None:
        """Check that there is something to record; called by scikit-learn when training starts.

        Parameters
        ----------
        estimator : estimator
            What is to be trained.
        context : sklearn.callback.CallbackContext
            The task.
        """
        if not hasattr(estimator, "score"):
            raise TypeError(
                f"ScoreMonitor needs an estimator with a score. {estimator!r} has none; an AmortisedWakeSleep has one "
                "if its model has a log_likelihood."
            )

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing; called by scikit-learn before each epoch.

        Parameters
        ----------
        estimator : estimator
            What is being trained.
        context : sklearn.callback.CallbackContext
            The task.
        """

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> None:
        """Score the rows; called by scikit-learn after each epoch.

        Parameters
        ----------
        estimator : estimator
            What is being trained.
        context : sklearn.callback.CallbackContext
            The task.
        fitted_estimator : estimator
            What training would have led to, had it ended here.
        """
        if context.task_name != "epoch":
            return  # the fit as a whole ends as its last epoch did
        if self.epochs_ and fitted_estimator.n_iter_ <= self.epochs_[-1]:
            self.epochs_, self.scores_ = [], []
        self.epochs_.append(fitted_estimator.n_iter_)
        self.scores_.append(fitted_estimator.score(self.X))
        if self.verbose:
            print(f"[ScoreMonitor] Iteration {self.epochs_[-1]}, held-out score = {self.scores_[-1]:.2f}", flush=True)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing; called by scikit-learn when training has ended.

        Parameters
        ----------
        estimator : estimator
            What was trained.
        context : sklearn.callback.CallbackContext
            The task.
        """
