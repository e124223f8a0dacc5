#include "jobs/curves.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace troupe {

namespace {

constexpr int columns = 3;
constexpr double width = 300, height = 190;                     // of a panel
constexpr double left = 52, right = 12, top = 26, bottom = 30;  // its margins
constexpr double legend_line = 16;
// Told apart by most eyes: Okabe and Ito (2008), and a few darker ones.
constexpr std::array colours = {"#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7",
                                "#56b4e9", "#000000", "#8c564b", "#7f7f7f", "#bcbd22"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    default:
      out += c;
    }
  }
  return out;
}

struct range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
  /// Of a value within it, 0 to 1; a range of one value has it in the middle.
  double share(double value) const { return high > low ? (value - low) / (high - low) : 0.5; }
};

bool is_shown(const curve_point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

class panel_drawing {
public:
  panel_drawing(const curve_panel& panel, double x, double y) : panel_(panel), x_(x), y_(y) {
    for (const curve& one : panel.curves) {
      for (const curve_point& point : one.points) {
        if (is_shown(point)) {
          across_.add(point.x);
          up_.add(point.y);
        }
      }
    }
  }

  std::string text(const std::string& x_name) const {
    std::string out = label(x_ + left, y_ + 16, "start", panel_.title, "font-weight=\"bold\"");
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"none\" "
                       "stroke=\"#bbb\"/>\n",
                       x_ + left, y_ + top, width - left - right, height - top - bottom);
    if (up_.empty()) {
      return out + label(x_ + left + 8, y_ + top + 18, "start", "nothing recorded");
    }
    out += label(x_ + left - 4, y_ + top + 10, "end", fmt::format("{:.3g}", up_.high));
    out += label(x_ + left - 4, y_ + height - bottom, "end", fmt::format("{:.3g}", up_.low));
    out += label(x_ + left, y_ + height - bottom + 13, "start", fmt::format("{:.0f}", across_.low));
    out += label(x_ + width - right, y_ + height - bottom + 13, "end", fmt::format("{} {:.0f}", x_name, across_.high));
    for (size_t i = 0; i < panel_.curves.size(); ++i) {
      out += line(panel_.curves[i], colours[i % colours.size()]);
    }
    return out;
  }

private:
  static std::string label(double x, double y, const char* anchor, const std::string& words, const char* more = "") {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, more,
                       escaped(words));
  }

  std::string line(const curve& one, const char* colour) const {
    std::string points;
    for (const curve_point& point : one.points) {
      if (is_shown(point)) {
        points += fmt::format("{:.1f},{:.1f} ", x_ + left + across_.share(point.x) * (width - left - right),
                              y_ + height - bottom - up_.share(point.y) * (height - top - bottom));
      }
    }
    return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"/>\n", points, colour);
  }

  const curve_panel& panel_;
  double x_, y_;
  range across_, up_;
};

}  // namespace

std::string curves_svg(const std::vector<curve_panel>& panels, const std::string& x_name) {
  const size_t names = panels.empty() ? 0 : panels.front().curves.size();
  const auto rows = static_cast<double>((panels.size() + columns - 1) / columns);
  const double whole_height = rows * height + static_cast<double>(names) * legend_line + 14;
  std::string out = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
                                "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\" font-size=\"11\">\n"
                                "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
                                columns * width, whole_height);
  for (size_t i = 0; i < panels.size(); ++i) {
    const auto column = static_cast<double>(i % columns);
    const auto row = static_cast<double>(i / columns);
    out += panel_drawing(panels[i], column * width, row * height).text(x_name);
  }
  for (size_t i = 0; i < names; ++i) {
    const double y = rows * height + 12 + static_cast<double>(i) * legend_line;
    out += fmt::format("<line x1=\"{0:.0f}\" y1=\"{2:.1f}\" x2=\"{1:.0f}\" y2=\"{2:.1f}\" stroke=\"{3}\" "
                       "stroke-width=\"3\"/>\n<text x=\"{4:.0f}\" y=\"{5:.1f}\">{6}</text>\n",
                       left, left + 24, y - 4, colours[i % colours.size()], left + 32, y,
                       escaped(panels.front().curves[i].name));
  }
  return out + "</svg>\n";
}

}  // namespace troupe
