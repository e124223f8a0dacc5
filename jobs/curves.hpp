/// Curves as an SVG image, which browsers and editors show: panels side by side, a colour for each curve's name.
#pragma once

#include <string>
#include <vector>

namespace troupe {

struct curve_point {
  double x = 0, y = 0;
};

struct curve {
  std::string name;
  std::vector<curve_point> points;  ///< those that are not finite are left out
};

struct curve_panel {
  std::string title;
  std::vector<curve> curves;  ///< the same names, in the same order, in all panels
};

std::string curves_svg(const std::vector<curve_panel>& panels, const std::string& x_name);

}  // namespace troupe
