#include "test/sim/sim_fs.h"

#include <algorithm>

#include "base/check.h"

namespace sim {
namespace {

constexpr std::size_t kSector = 512;

bool is_inside(const std::string& path, const std::string& directory) {
    return path.size() > directory.size() && path.starts_with(directory) &&
           path[directory.size()] == '/';
}

}  // namespace

SimFs::FilePtr SimFs::find(const std::string& path) const {
    const auto it = now_.files.find(path);
    return it == now_.files.end() ? nullptr : it->second;
}

std::set<std::string> SimFs::children(const std::string& path) const {
    std::set<std::string> out;
    const auto add = [&](const std::string& name) {
        if (!is_inside(name, path)) return;
        const std::string rest = name.substr(path.size() + 1);
        out.insert(rest.substr(0, rest.find('/')));
    };
    for (const auto& [name, file] : now_.files)
        add(name);
    for (const auto& name : now_.directories)
        add(name);
    return out;
}

void SimFs::apply(View* view, const Change& c) {
    switch (c.kind) {
        case Change::Kind::kCreate:
            view->files[c.path] = c.file;
            return;
        case Change::Kind::kMakeDirectory:
            view->directories.insert(c.path);
            return;
        case Change::Kind::kRemove:
            view->files.erase(c.path);
            view->directories.erase(c.path);
            std::erase_if(view->files, [&](const auto& f) { return is_inside(f.first, c.path); });
            std::erase_if(view->directories, [&](const auto& d) { return is_inside(d, c.path); });
            return;
        case Change::Kind::kRename: {
            const auto moved = [&](const std::string& name) {
                return c.to + name.substr(c.path.size());
            };
            View next;
            for (auto& [name, file] : view->files)
                if (name != c.path && !is_inside(name, c.path)) next.files.emplace(name, file);
            for (auto& [name, file] : view->files)
                if (name == c.path || is_inside(name, c.path)) next.files[moved(name)] = file;
            for (const auto& name : view->directories)
                next.directories.insert(name == c.path || is_inside(name, c.path) ? moved(name)
                                                                                  : name);
            *view = std::move(next);
            return;
        }
    }
}

void SimFs::before_change() {
    if (!freeze_in_) return;
    if (--*freeze_in_ > 0) return;
    freeze_in_.reset();
    std::map<const File*, FilePtr> copies;
    Image image;
    image.now = copy(now_, &copies);
    image.lasting = copy(lasting_, &copies);
    image.journal = journal_;
    for (Change& c : image.journal) {
        if (c.file == nullptr) continue;
        FilePtr& made = copies[c.file.get()];
        if (made == nullptr) made = std::make_shared<File>(*c.file);
        c.file = made;
    }
    image_ = std::move(image);
    World::cover("power failures in the middle of a change");
    on_frozen_();
}

SimFs::View SimFs::copy(const View& view, std::map<const File*, FilePtr>* copies) {
    View out = view;
    for (auto& [name, file] : out.files) {
        FilePtr& made = (*copies)[file.get()];
        if (made == nullptr) made = std::make_shared<File>(*file);
        file = made;
    }
    return out;
}

void SimFs::freeze_after(std::uint64_t changes, std::function<void()> frozen) {
    if (image_) return;
    freeze_in_ = changes;
    on_frozen_ = std::move(frozen);
}

void SimFs::thaw() {
    freeze_in_.reset();
    on_frozen_ = nullptr;
    if (!image_) return;
    now_ = std::move(image_->now);
    lasting_ = std::move(image_->lasting);
    journal_ = std::move(image_->journal);
    image_.reset();
}

void SimFs::note(Change change) {
    apply(&now_, change);
    journal_.push_back(std::move(change));
}

SimFs::FilePtr SimFs::create(const std::string& path) {
    before_change();
    auto file = std::make_shared<File>();
    note({Change::Kind::kCreate, path, {}, file});
    return file;
}

void SimFs::remove(const std::string& path) {
    before_change();
    note({Change::Kind::kRemove, path, {}, nullptr});
}

void SimFs::rename(const std::string& from, const std::string& to) {
    before_change();
    note({Change::Kind::kRename, from, to, nullptr});
}

void SimFs::make_directory(const std::string& path) {
    if (is_directory(path)) return;
    before_change();
    note({Change::Kind::kMakeDirectory, path, {}, nullptr});
}

void SimFs::append(File& file, std::string_view bytes) {
    before_change();
    file.bytes += bytes;
}

void SimFs::sync(File& file) {
    before_change();
    file.synced = file.bytes.size();
    for (const Change& c : journal_)
        apply(&lasting_, c);
    journal_.clear();
}

void SimFs::tear(File& file) {
    if (file.synced >= file.bytes.size()) return;
    base::Random& random = world_.random;
    switch (random.below(4)) {
        case 0:
            file.bytes.resize(file.synced);
            break;
        case 1:
            break;
        case 2:
            file.bytes.resize(random.between(file.synced, file.bytes.size()));
            break;
        default: {
            file.bytes.resize(random.between(file.synced, file.bytes.size()));
            std::size_t at = file.synced;
            while (at < file.bytes.size()) {
                const std::size_t end = std::min(file.bytes.size(), (at / kSector + 1) * kSector);
                if (random.chance(1, 3)) std::fill_n(file.bytes.begin() + at, end - at, '\0');
                at = end;
            }
            World::cover("unsynced sectors lost in the middle");
        }
    }
    file.synced = file.bytes.size();
    World::cover("unsynced bytes lost");
}

void SimFs::power_failure() {
    thaw();
    const std::size_t kept = world_.random.below(journal_.size() + 1);
    if (kept < journal_.size()) World::cover("unsynced names lost");
    for (std::size_t i = 0; i < kept; ++i)
        apply(&lasting_, journal_[i]);
    journal_.clear();
    now_ = lasting_;
    std::set<const File*> torn;
    for (auto& [name, file] : now_.files)
        if (torn.insert(file.get()).second) tear(*file);
}

std::optional<std::string> SimFs::rot(const std::string& directory,
                                      const std::function<bool(const std::string&)>& chosen) {
    std::vector<std::string> candidates;
    for (const auto& [name, file] : now_.files)
        if (is_inside(name, directory) && !file->bytes.empty() && chosen(name))
            candidates.push_back(name);
    if (candidates.empty()) return std::nullopt;
    const std::string name = candidates[world_.random.below(candidates.size())];
    File& file = *now_.files.at(name);
    flip_a_bit(world_.random, file.bytes, file.bytes.size());
    file.rotten = true;
    return name;
}

bool SimFs::rotten() const {
    return std::any_of(now_.files.begin(), now_.files.end(),
                       [](const auto& f) { return f.second->rotten; });
}

}  // namespace sim
