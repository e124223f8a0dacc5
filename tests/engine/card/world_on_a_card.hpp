/// A world whose arrays are on cards: each operation's are copied to a card before it, and back after it.
#pragma once

#include "engine/parallel/between_cards.hpp"
#include "engine/tensor/transfer.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

/// An array of the host's, and its copy on a card for as long as an operation is under way.
class card_copy {
public:
  card_copy(context& ctx, const void* host, size_t bytes)
      : ctx_(ctx), at_(ctx.on->reserve(static_cast<int64_t>(bytes), "arrays")), bytes_(static_cast<int64_t>(bytes)) {
    ctx_.on->map(at_, bytes_);
    engine::send(ctx_, at_, host, bytes_);
  }
  card_copy(const card_copy&) = delete;
  card_copy& operator=(const card_copy&) = delete;
  ~card_copy() { ctx_.on->free(at_); }

  std::byte* at() const { return at_; }
  void back(void* host) const { engine::fetch(ctx_, host, at_, bytes_); }

private:
  context& ctx_;
  std::byte* at_;
  int64_t bytes_;
};

/// Its arrays are copied to a card before an operation, and what it has written is copied back after it.
class card_operation final : public engine::pending::operation {
public:
  card_operation(std::vector<std::unique_ptr<card_copy>> copies, std::vector<std::pair<size_t, void*>> results,
                 engine::pending carried)
      : copies_(std::move(copies)), results_(std::move(results)), carried_(std::move(carried)) {}
  void wait() override {
    carried_.wait();
    for (const auto& [copy, host] : results_) {
      copies_[copy]->back(host);
    }
  }

private:
  std::vector<std::unique_ptr<card_copy>> copies_;
  std::vector<std::pair<size_t, void*>> results_;
  engine::pending carried_;
};

class on_a_card final : public engine::communicator {
public:
  on_a_card(context& ctx, engine::communicator_ptr by) : ctx_(ctx), by_(engine::between_cards(std::move(by), ctx.on)) {}

  int rank() const override { return by_->rank(); }
  int size() const override { return by_->size(); }
  engine::traffic sent() const override { return by_->sent(); }

  engine::pending reduce_scatter(std::span<const float> whole, std::span<const int64_t> offset_R1,
                                 std::span<float> part, const engine::operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(whole.data(), whole.size_bytes()));
    auto* const values = reinterpret_cast<float*>(copies[0]->at());
    const bool in_place = part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
    if (in_place) {
      engine::pending carried = by_->reduce_scatter({values, whole.size()}, offset_R1,
                                                    {values + (part.data() - whole.data()), part.size()}, options);
      return made(std::move(copies), {{0, const_cast<float*>(whole.data())}}, std::move(carried));
    }
    copies.push_back(copy(part.data(), part.size_bytes()));
    engine::pending carried = by_->reduce_scatter({values, whole.size()}, offset_R1,
                                                  {reinterpret_cast<float*>(copies[1]->at()), part.size()}, options);
    return made(std::move(copies), {{1, part.data()}}, std::move(carried));
  }

  engine::pending all_gather(reals whole, int64_t size, std::span<const int64_t> offset_R1,
                             const engine::operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(whole.data(), static_cast<size_t>(size * size_of(whole.type()))));
    engine::pending carried = by_->all_gather(reals(copies[0]->at(), whole.type()), size, offset_R1, options);
    return made(std::move(copies), {{0, whole.data()}}, std::move(carried));
  }

  engine::pending all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_offset_R1,
                             std::span<std::byte> receive, std::span<const int64_t> receive_offset_R1,
                             const engine::operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(send.data(), send.size()));
    copies.push_back(copy(receive.data(), receive.size()));
    engine::pending carried = by_->all_to_all({copies[0]->at(), send.size()}, send_offset_R1,
                                              {copies[1]->at(), receive.size()}, receive_offset_R1, options);
    return made(std::move(copies), {{1, receive.data()}}, std::move(carried));
  }

  engine::pending broadcast(std::span<std::byte> data, int root, const engine::operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(data.data(), data.size()));
    engine::pending carried = by_->broadcast({copies[0]->at(), data.size()}, root, options);
    return made(std::move(copies), {{0, data.data()}}, std::move(carried));
  }

  engine::pending send(std::span<const std::byte> data, int to, int tag,
                       const engine::operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(data.data(), data.size()));
    engine::pending carried = by_->send({copies[0]->at(), data.size()}, to, tag, options);
    return made(std::move(copies), {}, std::move(carried));
  }

  engine::pending receive(std::span<std::byte> data, int from, int tag,
                          const engine::operation_options& options) override {
    copies_type copies;
    copies.push_back(copy(data.data(), data.size()));
    engine::pending carried = by_->receive({copies[0]->at(), data.size()}, from, tag, options);
    return made(std::move(copies), {{0, data.data()}}, std::move(carried));
  }

private:
  using copies_type = std::vector<std::unique_ptr<card_copy>>;

  std::unique_ptr<card_copy> copy(const void* host, size_t bytes) const {
    return std::make_unique<card_copy>(ctx_, host, bytes);
  }
  static engine::pending made(copies_type copies, std::vector<std::pair<size_t, void*>> results,
                              engine::pending carried) {
    return engine::pending(std::make_unique<card_operation>(std::move(copies), std::move(results), std::move(carried)));
  }

  context& ctx_;
  engine::communicator_ptr by_;
};

class world_on_a_card final : public engine::world {
public:
  world_on_a_card(context& ctx, engine::world& by) : ctx_(ctx), by_(by) {}
  int rank() const override { return by_.rank(); }
  int size() const override { return by_.size(); }
  engine::communicator_ptr open(const std::string& name) override { return over(by_.open(name)); }
  engine::communicator_ptr open(const std::string& name, std::span<const int> members) override {
    return over(by_.open(name, members));
  }

private:
  engine::communicator_ptr over(engine::communicator_ptr group) const {
    return group == nullptr ? nullptr : std::make_shared<on_a_card>(ctx_, std::move(group));
  }

  context& ctx_;
  engine::world& by_;
};

}  // namespace troupe::test
