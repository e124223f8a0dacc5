"""The model of docs/scaling.md against what it can be checked by: the simulation, limits, and the fit's own points."""
import math
import unittest

import measured
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
        for recipe in scaling.RECIPES:
            fit = scaling.fit_iteration(recipe.iteration_s)
            self.assertGreater(min(fit), 0)
            for n, seconds in recipe.iteration_s.items():
                self.assertAlmostEqual(scaling.iteration_s(n, fit), seconds, delta=0.06 * seconds)
        exact = {n: 1000 / n + 3 for n in (8, 16, 64)}
        self.assertAlmostEqual(scaling.fit_iteration(exact)[0], 1000, delta=1e-6)
        self.assertAlmostEqual(scaling.fit_iteration(exact)[1], 3, delta=1e-9)

    def test_each_size_runs_what_its_gpus_hold(self):
        costs = scaling.costs_of_now()
        small, large = scaling.RECIPES
        self.assertFalse(scaling.fits(large, 64, costs))
        self.assertTrue(scaling.fits(large, 128, costs))
        for n in scaling.GPUS:
            self.assertTrue(scaling.fits(scaling.recipe_for(n, costs), n, costs))
        self.assertIs(scaling.recipe_for(8, costs), small)
        with self.assertRaises(LookupError):
            scaling.recipe_for(1, costs)

    def test_recovery_is_the_sum_of_its_parts_by_hand(self):
        recipe = scaling.Recipe("", "", {}, policy=8e9, critic=2e9, policy_segments=10, critic_segments=4,
                                arrays_of_a_segment=9)
        costs = {**scaling.ASSUMED, "detect_s": 10, "relaunch_s": 2, "rank_verify_bytes_per_s": 1e9,
                 "rank_read_bytes_per_s": 0.5e9, "rank_load_bytes_per_s": 1e9, "rank_write_bytes_per_s": 0.5e9,
                 "commit_part_s": 1e-4}
        self.assertEqual(recipe.checkpoint_bytes(), 152e9)
        self.assertEqual(recipe.files_bytes(), 80e9)
        self.assertAlmostEqual(scaling.recovery_s(recipe, 16, costs), 10 + (2 + 1 + 10) + 80 / 16 + 152 / 16 + 152 / 8)
        self.assertAlmostEqual(scaling.write_s(recipe, 16, costs), 152 / 8 + 52 * 24 * 1e-4)
        # 1,024 ranks read their own parts, or, on 128 nodes, ask the file system for 10.24 TB.
        self.assertAlmostEqual(scaling.load_s(recipe, 1024, costs), 2)
        self.assertAlmostEqual(scaling.load_s(recipe, 1024, {**costs, "loads_whole": 1}), 80 * 128 / 40)

    def test_measured_parts_are_those_of_the_documents(self):
        parts = measured.all_parts()
        self.assertTrue(all(value > 0 for value in parts.values()))
        row = measured.row_of("performance.md", model="4 layers, 512 wide", ranks="2")
        self.assertEqual(parts["rank_write_bytes_per_s"], float(row["written, GB/s"]) * 1e9 / 2)
        deadline = measured.row_of("job-file.md", key="`silence-deadline-s`")["default"]
        self.assertGreater(parts["detect_s"], measured.number(deadline))
        with self.assertRaises(LookupError):
            measured.row_of("performance.md", model="a model that nobody measured")
        self.assertEqual([measured.number(text) for text in ("3.1, 3.4", "`10`", "0.05 GB/s")], [3.1, 10, 0.05])

    def test_the_document_has_these_tables(self):
        text = (measured.DOCS / "scaling.md").read_text()
        self.assertEqual(text, scaling.with_tables(text, scaling.tables(scaling.costs_of_now())), "scaling.py --write")

    def test_failure_rates_are_those_published(self):
        self.assertTrue(math.isclose(1 / (1024 * scaling.FAILURE_RATES["research cluster"]), 7.9))
        self.assertTrue(math.isclose(54 * 24 * 16384 * scaling.FAILURE_RATES["Llama 3"], 419))


if __name__ == "__main__":
    unittest.main()
