"""The training state of a fitted estimator: kept so that training can go on, or discarded."""

from dataclasses import replace
from typing import Any

from sklearn.utils.validation import check_is_fitted


class DiscardableTrainingMixin:
    """An estimator whose training state, in its attribute ``_fitted``, can be discarded."""

    _fitted: Any  # a dataclass, of which the state is one of the fields

    def discard_training_state(self):
        """Discard what only further training needs, to save memory and to make saved files small.

        That is the memory of the solver, the iterate beside its running average, parameters kept for comparison, and
        dreams that would be used again. Every method but training gives the same results as before, to the last bit,
        and the fitted attributes stay. `partial_fit`, `fit` with ``warm_start=True`` and
        `skwakesleep.contrib.replicas.replicate` raise an error from now on, until `fit` with ``warm_start=False``
        trains anew.

        Returns
        -------
        self : estimator
            The estimator itself. Copies of it keep their training state.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        Examples
        --------
        >>> import pickle
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(100, max_iter=2, tol=None, random_state=0).fit(X)
        >>> before = len(pickle.dumps(machine))
        >>> after = len(pickle.dumps(machine.discard_training_state()))
        >>> before > 4 * after
        True
        """
        check_is_fitted(self)
        self._fitted = replace(self._fitted, state=self._fitted.state.for_inference())
        return self

    def _training_state(self) -> Any:
        """Return the state to go on from.

        Raises
        ------
        ValueError
            If it was discarded.
        """
        if self._fitted.state.discarded:
            raise ValueError(
                f"This {type(self).__name__} cannot be trained further: discard_training_state was called, and what "
                "training needs is gone. Train anew by fit with warm_start=False, or go on from a copy that was saved "
                "before."
            )
        return self._fitted.state
