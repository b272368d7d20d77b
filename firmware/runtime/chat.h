// A chat's turns as tokens: what the checkpoint's chat template writes between the texts, generated into
// model/chat.cpp.
//
// mcu_sdk/model/chat/turns.py is the specification.
#pragma once

#include <stdint.h>

// What is written between two texts. Head and tail become tokens together with the texts before and behind it; without
// ids in between, both texts are one.
struct mcu_chat_gap {
    const char* head;
    int32_t head_bytes;
    const int32_t* ids;
    int32_t count;
    const char* tail;
    int32_t tail_bytes;
};

struct mcu_chat_text {
    const char* utf8;
    int32_t bytes;
};

// The characters that are taken off the ends of a text.
struct mcu_chat_strip {
    mcu_chat_text left;
    mcu_chat_text right;
};

// What is left of an answer when another turn follows it: what is behind the last place of `cut`, where there is one.
struct mcu_chat_past {
    mcu_chat_strip strip;       // of an answer without such a place
    mcu_chat_text cut;          // no bytes: none
    mcu_chat_strip behind_cut;  // of what is left behind it
    int32_t dropped;            // ids of before_answer that stand only before an answer that is to come
};

struct mcu_chat_segment {
    uint32_t offset;  // in the KV cache
    uint32_t bytes;
};

// What the model remembers of the first `tokens` ids of the opening; the rest of the KV cache is zero.
struct mcu_chat_stored {
    int32_t tokens;  // 0: nothing is stored
    const mcu_chat_segment* segments;
    int32_t count;
    const uint8_t* data;  // of the segments, one behind the other
};

struct mcu_chat_data {
    mcu_chat_gap opening;        // before the first text of a conversation, with the system text that all of them have
    mcu_chat_gap before_system;  // before another one
    mcu_chat_gap behind_system;
    mcu_chat_gap before_answer;
    mcu_chat_gap behind_answer;  // before the next text
    mcu_chat_gap before_past;    // before a past answer alone, behind before_answer
    mcu_chat_strip strip_system;
    mcu_chat_strip strip_text;
    mcu_chat_past past;
    bool takes_system;  // whether there can be another system text
    int32_t end;        // the token that a turn ends with; -1: none
    mcu_chat_stored stored;
};

extern const mcu_chat_data mcu_chat;

// Puts what is stored into the model's KV cache, which has been zeroed.
void chat_restore();

struct ChatText {
    const char* utf8;  // nullptr: no text
    int32_t bytes;
};

// What is read before the next answer, into ids[capacity]: how many ids; -1 or -2 as mcu_tokenizer_encode()
// (tokenizer.h). `first`: the conversation begins; only then there may be a system text, and only where the template
// takes one.
int32_t chat_turn(bool first, ChatText system, ChatText text, int32_t* ids, int32_t capacity);

// Makes of an answer, ids[begin] to ids[end - 1] without the token that ended it, what the template makes of it once
// another turn follows: returns how many ids there are then; -1 where `ids` has no room for it, or this file for its
// text, and the ids are what they were. *same: how many of them, from the first of all on, are what they were.
// `spare`: as many bytes as the answer's ids and those before it that are dropped take.
int32_t chat_remember(int32_t* ids, int32_t begin, int32_t end, int32_t capacity, void* spare, int32_t* same);
