/* SPDX-License-Identifier: MIT
 *
 * What each role serves, and the few words of JSON that both speak.
 *
 *     GET    /v1/health                      200, never traced
 *     GET    /v1/daemon                      the node itself, see daemon.h
 *     GET    /v1/cluster                     {"nodes":[...]}, of a proxy only: every node, or why it does not answer
 *     POST   /v1/buckets/{bucket}            {"action":"create-bck"} -> 200, 409
 *     HEAD   /v1/buckets/{bucket}            Ais-Bucket-Props
 *     GET    /v1/buckets                     [{"name":"nnn","provider":"ais"}, ...]
 *     GET    /v1/buckets/{bucket}            {"entries":[{"name","size","checksum"}, ...]}
 *     PUT, GET, HEAD, DELETE /v1/objects/{bucket}/{object}
 *
 * A target answers for itself; a proxy asks or tells all targets, and redirects what concerns one object.
 */
#ifndef ROLES_H
#define ROLES_H

struct operation;

extern const struct operation proxy_operations[];
extern const struct operation target_operations[];

#endif
