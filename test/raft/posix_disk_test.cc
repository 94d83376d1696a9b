// The log's files on a real disk: what is made ahead of need is zeros, and of the right size.

#include "raft/wal/posix_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "base/random.h"
#include "raft/wal/spare_file.h"

namespace raft {
namespace {

constexpr std::uint64_t kSmall = 8 << 10;
constexpr std::uint64_t kUsual = 3 << 20;

class PosixDiskTest : public testing::Test {
  protected:
    PosixDiskTest()
        : directory_(std::filesystem::temp_directory_path() / ("disk-" + base::random_uuid())) {
        loop_.start();
        open();
    }
    ~PosixDiskTest() override {
        close();
        loop_.stop();
        loop_.join();
        std::filesystem::remove_all(directory_);
    }

    void open() {
        loop_.run_and_wait(
            [&] { disk_ = std::move(PosixDisk::open(loop_, directory_.string()).value()); });
    }
    void close() {
        loop_.run_and_wait([&] { disk_.reset(); });
    }
    // Waits until the batch is durable.
    void submit(DiskBatch batch) {
        std::atomic<bool> done = false;
        loop_.run_and_wait([&] { disk_->submit(std::move(batch), [&done] { done = true; }); });
        wait_for([&done] { return done.load(); });
    }
    static void wait_for(const std::function<bool()>& what) {
        for (int i = 0; i < 6000 && !what(); ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        ASSERT_TRUE(what());
    }

    void create(const std::string& name, std::uint64_t bytes, const std::string& header) {
        DiskBatch batch;
        batch.creates.push_back({name, bytes, kUsual});
        batch.writes.push_back({name, 0, header});
        submit(std::move(batch));
    }
    void write(const std::string& name, std::uint64_t offset, const std::string& data) {
        DiskBatch batch;
        batch.writes.push_back({name, offset, data});
        submit(std::move(batch));
    }
    std::string content(const std::string& name) {
        std::string out;
        loop_.run_and_wait([&] { out = disk_->read(name, 0, UINT64_MAX).value(); });
        return out;
    }
    // Which file on disk it is; none when it is not there.
    std::optional<std::uint64_t> inode(const std::string& name) const {
        struct stat info {};
        if (::stat((directory_ / name).c_str(), &info) != 0) return {};
        return info.st_ino;
    }
    // A creation takes the spare only once it is ready, which does not show from outside.
    void create_until_of_the_spare() {
        for (int i = 0; i < 1000; ++i) {
            const auto spare = inode(".spare");
            const std::string name = "n" + std::to_string(i);
            create(name, kUsual, "header");
            if (spare && inode(name) == spare) {
                made_ = name;
                return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
            std::filesystem::remove(directory_ / name);
        }
        FAIL() << "none was made of the spare";
    }

    std::filesystem::path directory_;
    base::Loop loop_{"owner"};
    std::unique_ptr<PosixDisk> disk_;
    std::string made_;
};

std::string followed_by_zeros(std::string data, std::uint64_t bytes) {
    data.resize(bytes);
    return data;
}

TEST_F(PosixDiskTest, ASpareIsMadeOnceAFileIsHalfFullAndBecomesTheNext) {
    create("a", kSmall, "header");
    write("a", 6, "record");
    EXPECT_FALSE(inode(".spare"));
    write("a", kSmall / 2, "record");
    wait_for([&] { return inode(".spare").has_value(); });
    create_until_of_the_spare();
    EXPECT_FALSE(inode(".spare"));
    EXPECT_EQ(content(made_), followed_by_zeros("header", kUsual));
    write(made_, 6, "record");
    EXPECT_EQ(content(made_), followed_by_zeros("headerrecord", kUsual));
}

TEST_F(PosixDiskTest, WhatAnEarlierProcessLeftIsRemoved) {
    close();
    EXPECT_FALSE(inode(".spare"));
    std::ofstream(directory_ / ".spare") << "half made";
    open();
    EXPECT_FALSE(inode(".spare"));
    create("a", kSmall, "header");
    EXPECT_EQ(content("a"), followed_by_zeros("header", kSmall));
}

TEST_F(PosixDiskTest, ClosesWhileASpareIsBeingMade) {
    create("a", kSmall, "header");
    write("a", kSmall / 2, "record");
    close();
    EXPECT_FALSE(inode(".spare"));
    open();
    EXPECT_EQ(content("a").substr(0, 6), "header");
}

// The names that the log sees are its own.
TEST_F(PosixDiskTest, DoesNotListTheSpare) {
    create("a", kSmall, "header");
    write("a", kSmall / 2, "record");
    wait_for([&] { return inode(".spare").has_value(); });
    std::vector<std::string> names;
    loop_.run_and_wait([&] { names = disk_->list().value(); });
    EXPECT_EQ(names, (std::vector<std::string>{"a", "lock"}));
}

class SpareFileTest : public PosixDiskTest {
  protected:
    std::string path(const std::string& name) const { return (directory_ / name).string(); }
    void wait_until_ready() {
        wait_for([&] { return spare_.ready(); });
    }

    SpareFile spare_{directory_.string()};
};

TEST_F(SpareFileTest, IsWrittenAllOverBeforeItIsGiven) {
    EXPECT_FALSE(spare_.take(kUsual, path("a")));
    spare_.prepare(kUsual, 0);
    wait_until_ready();
    ASSERT_TRUE(spare_.take(kUsual, path("a")));
    EXPECT_FALSE(inode(".spare"));
    // What was only allocated counts as a hole, until it is read.
    const int fd = ::open(path("a").c_str(), O_RDONLY);
    EXPECT_EQ(::lseek(fd, 0, SEEK_HOLE), static_cast<off_t>(kUsual));
    ::close(fd);
    EXPECT_EQ(content("a"), followed_by_zeros("", kUsual));
    EXPECT_FALSE(spare_.take(kUsual, path("b")));
}

TEST_F(SpareFileTest, OfAnotherSizeIsKeptUntilThatIsWanted) {
    spare_.prepare(kUsual, 0);
    wait_until_ready();
    EXPECT_FALSE(spare_.take(2 * kUsual, path("a")));
    EXPECT_TRUE(spare_.ready());
    spare_.prepare(2 * kUsual, 0);
    wait_until_ready();
    EXPECT_FALSE(spare_.take(kUsual, path("a")));
    EXPECT_TRUE(spare_.take(2 * kUsual, path("a")));
    EXPECT_EQ(std::filesystem::file_size(path("a")), 2 * kUsual);
}

TEST_F(SpareFileTest, IsNotMadeWhereTooLittleWouldBeLeft) {
    spare_.prepare(kUsual, std::uint64_t{1} << 60);
    for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        EXPECT_FALSE(spare_.ready());
    }
    EXPECT_FALSE(inode(".spare"));
    spare_.prepare(kUsual, 0);  // later there may be room
    wait_until_ready();
}

}  // namespace
}  // namespace raft
