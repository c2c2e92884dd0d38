# SPDX-License-Identifier: MIT
from mutants import Mutant

FAILING = "client/check_client_failing"

MUTANTS = [
    Mutant("client/thread.c", "        shmring_detach(aistrace__tracer.ring, writer);\n        writer = NULL;\n", "        writer = NULL;\n",
           FAILING, "a thread whose end is not noticed keeps its slot for ever"),
    Mutant("client/tracer.c", "    if (watch_err)\n        return watch_err;\n", "",
           FAILING, "without a key for the threads' ends the library starts all the same"),
    Mutant("client/tracer.c", "own_dir ? aistrace__resource_compose(options, &process->resource) : -ENOMEM", "aistrace__resource_compose(options, &process->resource)", FAILING, "without memory for a path the host dies"),
    Mutant("client/tracer.c", "    if (!watch_err)\n        watch_err = ", "    if (!watch_err)\n        (void)",
           FAILING, "a child of a fork writes into its parent's ring, and nobody was told"),
    Mutant("client/tracer.c", "    free(process->ring_dir);\n    process->ring_dir = NULL;\n", "    process->ring_dir = NULL;\n",
           FAILING, "each stop leaks the directory's path"),
    Mutant("client/process.c", "        aistrace__retry_later(&process->retry, err);\n", "        aistrace__retry_in(&process->retry, UINT16_MAX);\n",
           "client/check_client_retry", "room that was lacking for a moment is lacking for a minute"),
    Mutant("client/tracer.c", "err != -EINVAL", "!err", "client/check_client_retry", "a start that failed for a moment has failed for ever"),
    Mutant("client/ids.c", "        seed[0] ^= ((uint64_t)now.tv_sec << 30) ^ (uint64_t)now.tv_nsec ^ ((uint64_t)gettid() << 44);\n", "",
           FAILING, "without random numbers the ids begin at the same number in all threads"),
    Mutant("client/ids.c", "        seed[1] ^= (uint64_t)(uintptr_t)ids ^ ((uint64_t)getpid() << 40) ^ ((uint64_t)now.tv_nsec << 13);\n", "",
           FAILING, "without random numbers the ids of all threads go on by 1, and meet"),
    Mutant("client/ids.c", "!= (ssize_t)sizeof(seed)", "< 0", FAILING, "the step of all ids is 1 when the kernel gives half of what was asked for"),
    Mutant("client/resource.c", "        host[0] = '\\0';\n", "        host[0] = '?';\n", FAILING, "a host name that was never asked for"),
    Mutant("client/clock.c", "prctl(PR_GET_TSC, &mode) == 0 && mode == PR_TSC_ENABLE", "(prctl(PR_GET_TSC, &mode), true)",
           FAILING, "a counter that may not be read kills the host"),
    Mutant("client/clock.c", "bytes > 0 && strcmp(name, \"tsc\\n\") == 0", "bytes != 0", FAILING, "a counter that the kernel does not trust is used"),
    Mutant("client/clock.c", "        atomic_store(&aistrace__clock.ticks.window_ticks, 0);\n    atomic_store", "        ;\n    atomic_store",
           FAILING, "a line of the counter from an earlier start holds on"),
    Mutant("client/baggage.c", "for (size_t k = 2; k < length; k++)", "for (size_t k = 3; k < length; k++)",
           "client/check_client_baggage", "a cut UTF-8 sequence is handed out as text"),
    Mutant("client/span.c", "parent->trace_state && parent->trace_state_bytes <= AISTRACE_TRACE_STATE_BYTES", "parent->trace_state",
           "client/check_client_span", "a trace state that is too long goes into a buffer that was never made for it"),
    Mutant("client/event.c", "if (context->trace_state && context->trace_state_bytes <= AISTRACE_TRACE_STATE_BYTES)", "if (context->trace_state)",
           "client/check_client_span", "a link takes over a trace state that is too long"),
    Mutant("client/context.c", "context->trace_state && context->trace_state_bytes <= AISTRACE_TRACE_STATE_BYTES &&", "context->trace_state &&",
           "client/check_client_span", "a trace state that is too long is written over the caller's memory"),
]
