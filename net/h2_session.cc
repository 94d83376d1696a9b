#include "net/h2_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace net {

nghttp2_nv h2_field(std::string_view name, std::string_view value) {
    nghttp2_nv nv;
    nv.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data()));
    nv.namelen = name.size();
    nv.value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data()));
    nv.valuelen = value.size();
    nv.flags = NGHTTP2_NV_FLAG_NONE;
    return nv;
}

namespace {

// For names and values in static memory.
nghttp2_nv static_field(std::string_view name, std::string_view value) {
    nghttp2_nv nv = h2_field(name, value);
    nv.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    return nv;
}

}  // namespace

struct H2Session::Callbacks {
    static H2Session* self(void* user) { return static_cast<H2Session*>(user); }

    static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        H2Session* s = self(user);
        if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
            return 0;
        H2Stream* stream = s->on_new_stream(frame->hd.stream_id);
        if (!stream) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        s->attach(stream, frame->hd.stream_id);
        nghttp2_session_set_stream_user_data(s->session_, frame->hd.stream_id, stream);
        return 0;
    }

    static int header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                      nghttp2_rcbuf* value, std::uint8_t, void* user) {
        if (frame->hd.type != NGHTTP2_HEADERS) return 0;
        H2Stream* stream = self(user)->find(frame->hd.stream_id);
        if (!stream) return 0;
        const nghttp2_vec v = nghttp2_rcbuf_get_buf(name);
        stream->on_header({reinterpret_cast<const char*>(v.base), v.len}, name, value);
        return 0;
    }

    static int frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        H2Session* s = self(user);
        const auto type = frame->hd.type;
        if (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) {
            H2Stream* stream = s->find(frame->hd.stream_id);
            if (!stream) return 0;
            if (type == NGHTTP2_HEADERS) stream->on_headers_end();
            // The stream may have been ended by its owner just now.
            if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
                s->find(frame->hd.stream_id) == stream) {
                stream->peer_ended_ = true;
                stream->on_end_stream();
            }
        } else if (type == NGHTTP2_GOAWAY) {
            s->on_goaway(frame->goaway.error_code,
                         {reinterpret_cast<const char*>(frame->goaway.opaque_data),
                          frame->goaway.opaque_data_len});
        } else if (type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
            s->ping_sent_.reset();
        } else if (type == NGHTTP2_RST_STREAM) {
            s->on_peer_reset();
        }
        return 0;
    }

    static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                          std::size_t n, void* user) {
        H2Session* s = self(user);
        if (H2Stream* stream = s->find(id))
            stream->on_chunk({reinterpret_cast<const char*>(data), n});
        else
            s->consume_connection(n);
        return 0;
    }

    static int frame_send(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
        if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
        H2Stream* stream = self(user)->find(frame->hd.stream_id);
        if (!stream) return 0;
        stream->headers_sent_ = true;
        if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
        stream->end_sent_ = true;
        // A server that has answered in full wants no more of the request. Clients that are told
        // so at once may drop the answer with it: they get a moment to see it.
        if (!stream->peer_ended_ && nghttp2_session_check_server_session(session))
            self(user)->half_open_.emplace_back(frame->hd.stream_id,
                                                std::chrono::steady_clock::now());
        return 0;
    }

    static int stream_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
        H2Session* s = self(user);
        H2Stream* stream = s->find(id);
        if (!stream) return 0;
        s->detach(stream);
        stream->on_stream_close(code);
        return 0;
    }

    static ssize_t read_body(nghttp2_session* session, std::int32_t id, std::uint8_t*,
                             std::size_t length, std::uint32_t* flags, nghttp2_data_source* source,
                             void*) {
        auto* stream = static_cast<H2Stream*>(source->ptr);
        if (stream->queued_ == 0 && !stream->end_) {
            stream->deferred_ = true;
            return NGHTTP2_ERR_DEFERRED;
        }
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        const std::size_t n = std::min(length, stream->queued_);
        if (!stream->end_ || n < stream->queued_) return static_cast<ssize_t>(n);
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->tail_ == H2Stream::Tail::kGrpcOk) {
            const nghttp2_nv ok = static_field("grpc-status", "0");
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, id, &ok, 1);
        } else if (stream->tail_ == H2Stream::Tail::kHeaders) {
            std::vector<nghttp2_nv> fields;
            for (const auto& [name, value] : stream->tail_headers_)
                fields.push_back(h2_field(name, value));
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, id, fields.data(), fields.size());
        }
        return static_cast<ssize_t>(n);
    }

    static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* head,
                         std::size_t length, nghttp2_data_source* source, void* user) {
        H2Session* s = self(user);
        // nghttp2 would go on for as long as the peer's windows let it.
        if (s->out_->size() >= s->burst_) return NGHTTP2_ERR_WOULDBLOCK;
        auto* stream = static_cast<H2Stream*>(source->ptr);
        s->out_->append(reinterpret_cast<const char*>(head), 9);
        stream->queued_ -= length;
        s->total_queued_ -= length;
        while (length > 0) {
            SharedBytes& front = stream->queue_[stream->head_];
            const std::size_t n = std::min(length, front->size() - stream->offset_);
            s->out_->append(*front, stream->offset_, n);
            stream->offset_ += n;
            length -= n;
            if (stream->offset_ == front->size()) {
                front.reset();
                stream->offset_ = 0;
                if (++stream->head_ == stream->queue_.size()) {
                    stream->queue_.clear();
                    stream->head_ = 0;
                }
            }
        }
        if (stream->head_ > 64 && stream->head_ * 2 > stream->queue_.size()) {
            stream->queue_.erase(stream->queue_.begin(),
                                 stream->queue_.begin() + static_cast<long>(stream->head_));
            stream->head_ = 0;
        }
        stream->on_sent();
        return 0;
    }

    static const nghttp2_session_callbacks* table() {
        static const nghttp2_session_callbacks* const callbacks = [] {
            nghttp2_session_callbacks* c = nullptr;
            nghttp2_session_callbacks_new(&c);
            nghttp2_session_callbacks_set_on_begin_headers_callback(c, begin_headers);
            nghttp2_session_callbacks_set_on_header_callback2(c, header);
            nghttp2_session_callbacks_set_on_frame_recv_callback(c, frame_recv);
            nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data_chunk);
            nghttp2_session_callbacks_set_on_frame_send_callback(c, frame_send);
            nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_close);
            nghttp2_session_callbacks_set_send_data_callback(c, send_data);
            return c;
        }();
        return callbacks;
    }
};

H2Session::H2Session(const Settings& settings) {
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    // The limit that we name to the peer is one we answer (431); this one protects memory.
    nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
    // etcdctl 3.4 sends whole URLs as :authority, for which nghttp2 would reset the stream. Servers
    // check what matters of a request themselves.
    if (settings.server) nghttp2_option_set_no_http_messaging(option, 1);
    if (settings.server)
        nghttp2_session_server_new2(&session_, Callbacks::table(), this, option);
    else
        nghttp2_session_client_new2(&session_, Callbacks::table(), this, option);
    nghttp2_option_del(option);
    CHECK(session_ != nullptr);
    std::vector<nghttp2_settings_entry> entries = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.max_header_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    if (settings.server)
        entries.push_back(
            {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.max_concurrent_streams});
    else
        entries.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                          static_cast<std::int32_t>(settings.connection_window));
}

H2Session::~H2Session() {
    for (H2Stream* stream : all_)
        stream->session_ = nullptr;
    nghttp2_session_del(session_);
}

void H2Session::attach(H2Stream* stream, std::int32_t id) {
    stream->id_ = id;
    stream->session_ = this;
    stream->place_ = all_.size();
    all_.push_back(stream);
    ++open_streams_;
}

void H2Session::detach(H2Stream* stream) {
    nghttp2_session_set_stream_user_data(session_, stream->id_, nullptr);
    stream->release_queue();
    stream->session_ = nullptr;
    all_.back()->place_ = stream->place_;
    all_[stream->place_] = all_.back();
    all_.pop_back();
    --open_streams_;
}

H2Stream* H2Session::find(std::int32_t id) const {
    return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session_, id));
}

base::Status H2Session::receive(std::string_view bytes) {
    const ssize_t n = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (n < 0)
        return base::unavailable(fmt::format("HTTP/2: {}", nghttp2_strerror(static_cast<int>(n))));
    return {};
}

void H2Session::produce(std::string* out, std::size_t burst) {
    out_ = out;
    burst_ = burst;
    while (out->size() < burst) {
        const std::uint8_t* data = nullptr;
        const ssize_t n = nghttp2_session_mem_send(session_, &data);
        if (n <= 0) break;
        out->append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
    }
    out_ = nullptr;
}

bool H2Session::finished() const {
    return !nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_);
}

void H2Session::submit_response(H2Stream* stream, const std::vector<nghttp2_nv>& fields,
                                bool body) {
    nghttp2_data_provider provider{{.ptr = stream}, Callbacks::read_body};
    nghttp2_submit_response(session_, stream->id_, fields.data(), fields.size(),
                            body ? &provider : nullptr);
    session_has_output();
}

void H2Session::submit_grpc_head(H2Stream* stream) {
    const nghttp2_nv fields[] = {static_field(":status", "200"),
                                 static_field("content-type", "application/grpc")};
    nghttp2_data_provider provider{{.ptr = stream}, Callbacks::read_body};
    nghttp2_submit_response(session_, stream->id_, fields, 2, &provider);
    session_has_output();
}

base::Status H2Session::submit_request(H2Stream* stream, const std::vector<nghttp2_nv>& fields,
                                       bool body) {
    nghttp2_data_provider provider{{.ptr = stream}, Callbacks::read_body};
    const std::int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                                   body ? &provider : nullptr, stream);
    if (id < 0) return base::unavailable(fmt::format("HTTP/2: {}", nghttp2_strerror(id)));
    attach(stream, id);
    session_has_output();
    return {};
}

void H2Session::reset_stream(H2Stream* stream, std::uint32_t code) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id_, code);
    session_has_output();
}

void H2Session::consume(H2Stream* stream, std::size_t n) {
    if (n == 0) return;
    nghttp2_session_consume(session_, stream->id_, n);
    session_has_output();
}

void H2Session::consume_connection(std::size_t n) {
    if (n == 0) return;
    nghttp2_session_consume_connection(session_, n);
    session_has_output();
}

void H2Session::goaway(std::uint32_t code) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session_), code, nullptr, 0);
    session_has_output();
}

void H2Session::ping() {
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    session_has_output();
}

bool H2Session::check_alive(base::SteadyTime now, base::SteadyTime last_read, base::Millis interval,
                            base::Millis timeout) {
    while (!half_open_.empty() && now - half_open_.front().second >= std::chrono::seconds(1)) {
        if (find(half_open_.front().first)) {
            nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, half_open_.front().first,
                                      NGHTTP2_NO_ERROR);
            session_has_output();
        }
        half_open_.pop_front();
    }
    if (interval == base::Millis::zero()) return true;
    if (ping_sent_) {
        if (last_read >= *ping_sent_) {
            ping_sent_.reset();
            return true;
        }
        return now - *ping_sent_ < timeout;
    }
    if (open_streams_ > 0 && now - last_read >= interval) {
        ping_sent_ = now;
        ping();
    }
    return true;
}

void H2Session::close_all_streams(std::uint32_t code) {
    while (!all_.empty()) {
        H2Stream* stream = all_.back();
        detach(stream);
        stream->on_stream_close(code);
    }
}

void H2Stream::push_body(SharedBytes bytes) {
    if (!session_ || end_ || !bytes || bytes->empty()) return;
    queued_ += bytes->size();
    session_->total_queued_ += bytes->size();
    queue_.push_back(std::move(bytes));
    if (deferred_) {
        deferred_ = false;
        nghttp2_session_resume_data(session_->session_, id_);
        session_->session_has_output();
    }
}

void H2Stream::end_body(Tail tail) {
    if (!session_ || end_) return;
    end_ = true;
    tail_ = tail;
    if (deferred_) {
        deferred_ = false;
        nghttp2_session_resume_data(session_->session_, id_);
        session_->session_has_output();
    }
}

void H2Stream::release_queue() {
    if (session_) session_->total_queued_ -= queued_;
    queued_ = 0;
    queue_.clear();
    head_ = offset_ = 0;
}

}  // namespace net
