"""The model of docs/scaling.md against what it can be checked by: the simulation, limits, and the fit's own points."""
import math
import unittest

import scaling


class Scaling(unittest.TestCase):
    def test_simulation_agrees_with_the_closed_form(self):
        for rate, interval, stall, recovery in [(1e-3, 300, 5, 20), (1e-4, 600, 1, 60), (5e-3, 100, 2, 30)]:
            exact = scaling.effective(rate, interval, stall, recovery)
            drawn = scaling.simulate(rate, interval, stall, recovery, 0.0, 60000)
            self.assertAlmostEqual(drawn, exact, delta=0.01 * exact)

    def test_later_durability_costs_what_the_first_order_says(self):
        rate, interval, stall, recovery, write = 1e-4, 600, 1, 60, 100
        exact = scaling.effective(rate, interval, stall, recovery)
        first_order = scaling.effective_written_later(rate, interval, stall, recovery, write)
        drawn = scaling.simulate(rate, interval, stall, recovery, write, 200000)
        self.assertLess(drawn, exact)
        self.assertAlmostEqual(drawn, first_order, delta=0.004)

    def test_without_failures_only_the_stall_is_lost(self):
        self.assertAlmostEqual(scaling.effective(1e-12, 100, 5, 60), 100 / 105, places=6)
        self.assertAlmostEqual(scaling.simulate(1e-12, 100, 5, 60, 0, 100), 100 / 105, places=9)

    def test_young_and_daly_are_near_the_best_interval(self):
        rate, stall, recovery = 1e-4, 5, 60
        best = max(range(20, 3000), key=lambda x: scaling.effective(rate, x, stall, recovery))
        self.assertAlmostEqual(scaling.young(rate, stall), best, delta=0.05 * best)
        self.assertAlmostEqual(scaling.daly(rate, stall), best, delta=0.01 * best)

    def test_best_updates_is_no_worse_than_its_neighbours_and_waits_for_the_write(self):
        case = dict(rate=1e-4, iteration=50.0, stall=2.0, recovery=60.0, write=120.0)
        k = scaling.best_updates(**case)
        self.assertGreaterEqual(k * 50, 120)
        value = lambda n: scaling.effective_written_later(1e-4, n * 50.0, 2.0, 60.0, 120.0)
        self.assertGreaterEqual(value(k), max(value(k + 1), value(k - 1) if (k - 1) * 50 >= 120 else 0))

    def test_fit_meets_the_published_times(self):
        fit = scaling.fit_iteration(scaling.ITERATION_S)
        self.assertGreater(min(fit), 0)
        for n, seconds in scaling.ITERATION_S.items():
            self.assertAlmostEqual(scaling.iteration_s(n, fit), seconds, delta=0.06 * seconds)
        exact = {n: 1000 / n + 3 for n in (8, 16, 64)}
        self.assertAlmostEqual(scaling.fit_iteration(exact)[0], 1000, delta=1e-6)
        self.assertAlmostEqual(scaling.fit_iteration(exact)[1], 3, delta=1e-9)

    def test_failure_rates_are_those_published(self):
        self.assertTrue(math.isclose(1 / (1024 * scaling.FAILURE_RATES["research cluster"]), 7.9))
        self.assertTrue(math.isclose(54 * 24 * 16384 * scaling.FAILURE_RATES["Llama 3"], 419))


if __name__ == "__main__":
    unittest.main()
