// Messages to and from pontoon-proxy: packets of text, with or without a descriptor.
#pragma once
#include "text.h"
#include <stdbool.h>

/** Connects without waiting. @returns -1 and errno when nobody is there */
int connect_packets(const char *path);
/** @param passed a descriptor to send along, or -1. @returns false when the other side is gone or takes nothing */
bool send_packet(int connection, struct text *message, int passed);
/**
 * Receives one packet without waiting.
 * @param passed the descriptor that came along, or -1; the caller's
 * @returns its length; 0 when the other side is gone, -1 when none is there
 */
int receive_packet(int connection, char *into, size_t room, int *passed);
