#include "engine/generate/card_decoder.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"
#include "engine/tensor/transfer.hpp"
#include "kernels/feed_tokens.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace troupe::engine {

namespace {

static_assert(std::end(card_decoder::row_counts)[-1] == card_decoder::most_rows);

constexpr int64_t span_positions = 512;  ///< recordings are for so many positions, or a power of two times as many
constexpr int64_t span_pages = span_positions / kernels::attention_tile;

constexpr int64_t drawn_bytes = card_decoder::most_rows * int64_t{sizeof(kernels::sampled_token)};

/// An array of a sheet.
template <class T> const T* array(const void* sheet, int64_t begin) {
  return reinterpret_cast<const T*>(static_cast<const std::byte*>(sheet) + begin);
}

bool has_penalty(const sequence& s) { return s.request->sampling.repetition_penalty != 1.0F; }

}  // namespace

/// Where in a step's sheet its arrays begin, in bytes.
struct card_decoder::step_sheet {
  explicit step_sheet(const shape& of) : rows(of.rows), stride(of.spans * span_pages) {
    const auto put = [this](int64_t count, size_t size) {
      const int64_t begin = bytes;
      bytes = round_up(begin + count * static_cast<int64_t>(size), int64_t{16});
      return begin;
    };
    token = put(rows, sizeof(int32_t));
    source = put(rows, sizeof(int32_t));
    position = put(rows, sizeof(int32_t));
    position_row = put(rows, sizeof(int32_t));
    place = put(rows, sizeof(int32_t));
    row = put(rows + 1, sizeof(int64_t));
    page = put(rows * stride, sizeof(int32_t));
    draw = put(rows, sizeof(kernels::row_draw));
    context = put(rows, sizeof(int64_t));
  }

  int64_t rows, stride;  ///< stride: pages of a row
  int64_t token = 0, source = 0, position = 0, position_row = 0;
  int64_t place = 0, row = 0, page = 0;  ///< of page_map: position_S, row_S1 and page_SP
  int64_t draw = 0;
  int64_t context = 0;  ///< where the row's token goes
  int64_t bytes = 0;
};

card_decoder::card_decoder(const inference_model& net, const_reals weights, const kv_cache& cache, device& on,
                           int64_t steps)
    : net_(net), weights_(weights), cache_(cache), on_(on), slots_(static_cast<size_t>(steps)),
      context_(nullptr, [&on](std::byte* range) { on.free(range); }) {}

card_decoder::~card_decoder() {
  try {  // before memory goes that the card may read and write
    wait_for(context_sent_);
    for (slot& one : slots_) {
      wait_for(one.done);
    }
  } catch (const error&) {  // the card has failed, or is late and may still do it
    if (context_sent_ != 0) {
      context_source_.release();  // NOLINT(bugprone-unused-return-value): as in `keep`
    }
    for (slot& one : slots_) {
      if (one.done != 0) {
        keep(one);
      }
    }
  }
}

/// The card may read and write its memory, and nobody knows until when: it stays for as long as the process.
void card_decoder::keep(slot& used) {
  used.sheet.release();  // NOLINT(bugprone-unused-return-value)
  used.drawn.release();  // NOLINT(bugprone-unused-return-value)
  used.done = 0;
}

/// Of a moment that has been waited for before, nothing.
void card_decoder::wait_for(mark& moment) {
  if (moment != 0) {
    on_.finish(moment);
    moment = 0;
  }
}

int64_t card_decoder::most_positions() const {
  return std::min(net_.description().max_positions, cache_.pages() * kernels::attention_tile);
}

int64_t card_decoder::most_spans() const { return divide_up(most_positions(), span_positions); }

card_decoder::shape card_decoder::shape_of(std::span<const decode_row> rows) const {
  shape of{.rows = *std::lower_bound(std::begin(row_counts), std::end(row_counts), static_cast<int64_t>(rows.size()))};
  int64_t longest = 0;
  for (const decode_row& row : rows) {
    longest = std::max(longest, row.of->length() + row.of->ahead);
    of.penalties = of.penalties || has_penalty(*row.of);
  }
  const auto spans = static_cast<uint64_t>(divide_up(longest, span_positions));
  of.spans = std::min(static_cast<int64_t>(std::bit_ceil(spans)), most_spans());
  return of;
}

/// The known tokens of sequences with a penalty, each with room for the rest of its own.
void card_decoder::begin(std::span<sequence* const> sequences) {
  context_begin_.clear();
  int64_t ids = 0;
  for (const sequence* s : sequences) {
    if (has_penalty(*s)) {
      context_begin_[s] = ids;
      ids += s->limit;
    }
  }
  if (ids == 0) {
    return;
  }
  const int64_t bytes = ids * static_cast<int64_t>(sizeof(int32_t));
  if (context_ == nullptr) {
    context_.reset(on_.reserve(most_rows * most_positions() * static_cast<int64_t>(sizeof(int32_t)),
                               "ids that repetition penalties look at"));
  }
  if (bytes > context_mapped_) {
    on_.map(context_.get(), bytes);
    context_mapped_ = bytes;
  }
  wait_for(context_sent_);
  if (context_source_ == nullptr || context_source_->bytes() < bytes) {
    context_source_ = on_.pin(bytes);
  }
  auto* const source = reinterpret_cast<int32_t*>(context_source_->data());
  for (const auto& [s, first] : context_begin_) {
    std::copy(s->tokens.begin(), s->tokens.end(), source + first);
  }
  on_.copy(queue::compute, context_.get(), source, bytes);
  context_sent_ = on_.record(queue::compute);
}

/// Rows behind the last are of absent sequences.
void card_decoder::fill(slot& in, const step_sheet& at, std::span<const decode_row> rows) const {
  if (in.sheet == nullptr || in.sheet->bytes() < at.bytes) {
    in.sheet = on_.pin(at.bytes);
  }
  if (in.drawn == nullptr) {
    in.drawn = on_.pin(drawn_bytes);
  }
  const auto count = static_cast<size_t>(at.rows);
  const auto array = [&]<class T>(int64_t begin, size_t size, T every) {
    const std::span<T> values(reinterpret_cast<T*>(in.sheet->data() + begin), size);
    std::fill(values.begin(), values.end(), every);
    return values;
  };
  const auto token = array(at.token, count, int32_t{0}), source = array(at.source, count, int32_t{-1});
  const auto position = array(at.position, count, int32_t{0}), position_row = array(at.position_row, count, int32_t{0});
  const auto place = array(at.place, count, int32_t{-1});
  const auto page = array(at.page, count * static_cast<size_t>(at.stride), int32_t{0});
  const auto draw = array(at.draw, count, kernels::row_draw{.settings = {.temperature = 0}});
  const auto context = array(at.context, count, int64_t{-1});
  const auto row = array(at.row, count + 1, int64_t{0});
  std::iota(row.begin(), row.end(), 0);

  const model_description& model = net_.description();
  const int64_t row_of_0 = model.position == position_kind::learned ? model.position_offset : 0;
  std::fill(position_row.begin(), position_row.end(), static_cast<int32_t>(row_of_0));
  for (size_t n = 0; n < rows.size(); ++n) {
    const sequence& s = *rows[n].of;
    const int64_t tokens = s.length() + s.ahead;  // with the row's own
    token[n] = s.tokens.back();
    source[n] = rows[n].source;
    place[n] = position[n] = static_cast<int32_t>(tokens - 1);
    position_row[n] += position[n];
    std::copy(s.pages.begin(), s.pages.begin() + kv_cache::pages_for(tokens),
              page.begin() + static_cast<std::ptrdiff_t>(n) * at.stride);
    draw[n] = {.settings = s.request->sampling, .uniform = uniform_of(s, tokens)};
    if (has_penalty(s)) {
      const int64_t first = context_begin_.at(&s);
      draw[n].context_begin = first;
      draw[n].context_end = first + tokens;
      context[n] = first + tokens - 1;
    }
  }
}

/// A step's calls, whose arguments depend on its shape alone.
void card_decoder::compute(context& ctx, const shape& of) {
  const model_description& model = net_.description();
  const step_sheet at(of);
  const void* const sheet = sheet_.data().data();
  auto* const ids = reinterpret_cast<int32_t*>(context_.get());
  auto* const drawn = static_cast<kernels::sampled_token*>(drawn_.data().data());
  bucket& own = buckets_[of.rows];
  auto* const token_N =
      reinterpret_cast<int32_t*>(own.token_N.bytes(ctx, of.rows * static_cast<int64_t>(sizeof(int32_t))));
  const reals hidden_ND = own.hidden_ND.room(ctx, activation_type(ctx, weights_), of.rows * model.embedding_width);
  float* const logits_NV = own.logits_NV.floats(ctx, of.rows * model.vocabulary);

  kernels::feed_tokens(ctx, {.token_N = token_N,
                             .given_N = array<int32_t>(sheet, at.token),
                             .source_N = array<int32_t>(sheet, at.source),
                             .drawn_M = drawn,
                             .context = ids,
                             .context_at_N = array<int64_t>(sheet, at.context),
                             .n = of.rows});
  net_.extend(ctx, weights_,
              placed_batch{.rows = of.rows,
                           .token_N = token_N,
                           .position_N = array<int32_t>(sheet, at.position),
                           .position_row_N = array<int32_t>(sheet, at.position_row),
                           .where = {.page_SP = array<int32_t>(sheet, at.page),
                                     .row_S1 = array<int64_t>(sheet, at.row),
                                     .position_S = array<int32_t>(sheet, at.place),
                                     .sequences = of.rows,
                                     .stride = at.stride,
                                     .rows = of.rows,
                                     .longest = of.spans * span_positions},
                           .pages_L = cache_.layers()},
              own.scratch, hidden_ND);
  net_.logits(ctx, weights_, of.rows, hidden_ND, logits_NV);
  kernels::sample_rows(ctx, {.logits_NV = logits_NV,
                             .draw_N = array<kernels::row_draw>(sheet, at.draw),
                             .context = ids,
                             .token_N = drawn,
                             .n = of.rows,
                             .vocabulary = model.vocabulary,
                             .penalties = of.penalties});
}

/// The first step of a shape is computed by calls: they find memory and algorithms, which a recording cannot.
void card_decoder::run(context& ctx, const shape& of) {
  const auto found = recorded_.find(of);
  if (found != recorded_.end()) {
    found->second->replay();
    ++replays_;
    return;
  }
  compute(ctx, of);
  recorded_[of] = on_.record_calls([&] { compute(ctx, of); });
  ++recordings_;
}

std::byte* card_decoder::drawn_of(size_t slot) const {
  return static_cast<std::byte*>(kept_.data().data()) + static_cast<int64_t>(slot) * drawn_bytes;
}

void card_decoder::launch(context& ctx, std::span<const decode_row> rows) {
  TROUPE_ASSERT(!full() && !rows.empty() && rows.size() <= most_rows);
  const shape of = shape_of(rows);
  const step_sheet at(of);
  const size_t next = (first_ + under_way_) % slots_.size();
  slot& in = slots_[next];
  wait_for(in.done);  // of a step that was dropped
  fill(in, at, rows);
  in.rows = static_cast<int64_t>(rows.size());

  std::byte* sheet = sheet_.bytes(ctx, step_sheet({.rows = most_rows, .spans = most_spans()}).bytes);
  drawn_.bytes(ctx, drawn_bytes);
  kept_.bytes(ctx, drawn_bytes * static_cast<int64_t>(slots_.size()));
  try {
    on_.copy(queue::compute, sheet, in.sheet->data(), at.bytes);
    run(ctx, of);
    const int64_t bytes = in.rows * static_cast<int64_t>(sizeof(kernels::sampled_token));
    on_.copy(queue::compute, drawn_of(next), drawn_.data().data(), bytes);  // the next step overwrites what is drawn
    on_.await(queue::download, on_.record(queue::compute));
    on_.copy(queue::download, in.drawn->data(), drawn_of(next), bytes);
    in.done = on_.record(queue::download);
  } catch (...) {  // there is no moment to wait for
    keep(in);
    throw;
  }
  ++under_way_;
}

std::span<const kernels::sampled_token> card_decoder::take() {
  TROUPE_ASSERT(under_way_ > 0);
  slot& oldest = slots_[first_];
  wait_for(oldest.done);
  first_ = (first_ + 1) % slots_.size();
  --under_way_;
  return {reinterpret_cast<const kernels::sampled_token*>(oldest.drawn->data()), static_cast<size_t>(oldest.rows)};
}

void card_decoder::drop() {
  first_ = (first_ + under_way_) % slots_.size();
  under_way_ = 0;
}

}  // namespace troupe::engine
