#include "controllers/batch.h"

namespace controllers {
namespace {

struct Batch {
    std::vector<base::Status> results;
    std::size_t left = 0;
    base::UniqueFunction<void(bool)> resolve;
};

base::Awaitable<void> run_one(base::Task<void> task, std::shared_ptr<Batch> batch, std::size_t i) {
    try {
        batch->results[i] = co_await std::move(task);
    } catch (const std::exception& e) {
        batch->results[i] = base::internal_error(e.what());
    }
    if (--batch->left == 0 && batch->resolve) batch->resolve(true);
}

}  // namespace

base::Awaitable<std::vector<base::Status>> run_all(base::Loop& loop,
                                                   std::vector<base::Task<void>> tasks) {
    auto batch = std::make_shared<Batch>();
    batch->results.resize(tasks.size());
    batch->left = tasks.size();
    for (std::size_t i = 0; i < tasks.size(); ++i)
        boost::asio::co_spawn(loop.context(), run_one(std::move(tasks[i]), batch, i),
                              [](const std::exception_ptr&) {});
    if (batch->left > 0) {
        auto wait = [b = batch.get()](base::UniqueFunction<void(bool)> resolve) {
            b->resolve = std::move(resolve);
        };
        co_await base::suspend<bool>(wait);
    }
    co_return std::move(batch->results);
}

}  // namespace controllers
