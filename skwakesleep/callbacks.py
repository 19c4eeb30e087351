"""Callbacks for the method ``set_callbacks`` of densities. They need scikit-learn 1.9 or later."""

from typing import Any

import sklearn

from skwakesleep._adapters.sklearn_compat import HAS_CALLBACKS

__all__ = ["ScoreMonitor"]


class ScoreMonitor:
    """Record the log-likelihood of held-out rows after each epoch.

    scikit-learn's `ScoringMonitor` scores the training rows, and needs ``y``. This callback scores the rows `X` with
    the ``score`` method of the estimator.

    A new fit starts a new record. ``partial_fit`` and a warm start continue the record.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to score. They should not be training rows.

    verbose : bool, default=False
        Whether to print each score.

    Attributes
    ----------
    epochs_ : list of int
        Epochs after which the rows were scored, counted from one.

    scores_ : list of float
        Mean log-likelihood of the rows after each of these epochs, in nats per row.

    Raises
    ------
    ImportError
        If scikit-learn is older than 1.9 and has no callbacks.

    TypeError
        If the estimator has no ``score``, for instance an `AmortisedWakeSleep` with a model without a likelihood.
        Raised when training starts.

    See Also
    --------
    sklearn.callback.ProgressBar : Progress bar of the epochs.

    Notes
    -----
    Scoring may take longer than the epoch. Its time depends on the number of rows and on ``n_score_particles`` of the
    estimator.

    A search with several processes gives each process a copy of the callback. The records of these copies are lost;
    only the record of the final fit remains.

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
    >>> monitor.scores_[-1] > monitor.scores_[0] > -4.1  # nats per row; fair coins score -4.2
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
        """Check that the estimator has a ``score``. Called by scikit-learn when training starts.

        Parameters
        ----------
        estimator : estimator
            Estimator to train.
        context : sklearn.callback.CallbackContext
            Context of the task.
        """
        if not hasattr(estimator, "score"):
            raise TypeError(
                f"ScoreMonitor needs an estimator with a score method. Got {estimator!r} without one. "
                "AmortisedWakeSleep has a score if its model has a log_likelihood."
            )

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing. Called by scikit-learn before each epoch.

        Parameters
        ----------
        estimator : estimator
            Estimator in training.
        context : sklearn.callback.CallbackContext
            Context of the task.
        """

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> None:
        """Score the rows. Called by scikit-learn after each epoch.

        Parameters
        ----------
        estimator : estimator
            Estimator in training.
        context : sklearn.callback.CallbackContext
            Context of the task.
        fitted_estimator : estimator
            Estimator as fitted if training ended after this epoch.
        """
        if context.task_name != "epoch":
            return  # the end of the fit adds nothing to the end of its last epoch
        if self.epochs_ and fitted_estimator.n_iter_ <= self.epochs_[-1]:
            self.epochs_, self.scores_ = [], []
        self.epochs_.append(fitted_estimator.n_iter_)
        self.scores_.append(fitted_estimator.score(self.X))
        if self.verbose:
            print(f"[ScoreMonitor] Iteration {self.epochs_[-1]}, held-out score = {self.scores_[-1]:.2f}", flush=True)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing. Called by scikit-learn when training has ended.

        Parameters
        ----------
        estimator : estimator
            Trained estimator.
        context : sklearn.callback.CallbackContext
            Context of the task.
        """
