// A GPU on a CPU, for tests: the blocks of a launch run one after the other, a block's threads by turns, each until it waits for others.
// Put before the kernels' source by who compiles it.

#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

#define __global__
#define __device__
// the blocks have it one after the other
#define __shared__ static
#define __align__(bytes)
#define __restrict__

struct Place {
    unsigned x;
};

static Place threadIdx, blockIdx, blockDim;

namespace emulation {

constexpr int LANES = 32;
constexpr std::size_t STACK_BYTES = 64 << 10;

// Who waits until all have come.
class Meeting {
   public:
    explicit Meeting(unsigned members = 0) : members_(members) {}
    void wait();

   private:
    unsigned members_, arrived_ = 0, held_ = 0;
};

struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    bool done;
};

struct Warp {
    Meeting meeting;
    float slots[LANES];
};

static std::vector<Thread> threads;
static std::vector<Warp> warps;
static Meeting block;
static ucontext_t turns;
static unsigned current;
static void (*kernel)(void**);
static void** arguments;

inline void yield() {
    const unsigned mine = current;
    swapcontext(&threads[mine].context, &turns);
    threadIdx.x = mine;
}

inline void Meeting::wait() {
    const unsigned meeting = held_;
    if (++arrived_ == members_) {
        arrived_ = 0;
        ++held_;
    }
    while (held_ == meeting) yield();
}

inline void run_thread() {
    kernel(arguments);
    threads[current].done = true;
    // back to the turns, by uc_link
}

// False if a thread waits for others that never come.
inline bool run_block() {
    for (unsigned index = 0; index < threads.size(); ++index) {
        Thread& thread = threads[index];
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.get();
        thread.context.uc_stack.ss_size = STACK_BYTES;
        thread.context.uc_link = &turns;
        thread.done = false;
        makecontext(&thread.context, run_thread, 0);
    }
    for (unsigned turn = 0; turn < 1000000; ++turn) {
        bool all_done = true;
        for (current = 0; current < threads.size(); ++current) {
            if (threads[current].done) continue;
            all_done = false;
            threadIdx.x = current;
            swapcontext(&turns, &threads[current].context);
        }
        if (all_done) return true;
    }
    return false;
}

inline bool launch(void (*what)(void**), unsigned blocks, unsigned threads_of_block, void** with) {
    kernel = what;
    arguments = with;
    blockDim.x = threads_of_block;
    threads.clear();
    for (unsigned index = 0; index < threads_of_block; ++index) {
        threads.push_back({{}, std::unique_ptr<char[]>(new char[STACK_BYTES]), false});
    }
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
        block = Meeting(threads_of_block);
        warps.assign((threads_of_block + LANES - 1) / LANES, Warp{Meeting(LANES), {}});
        if (!run_block()) return false;
    }
    return true;
}

}  // namespace emulation

inline void __syncthreads() { emulation::block.wait(); }

inline float __shfl_xor_sync(unsigned, float value, int distance) {
    emulation::Warp& warp = emulation::warps[threadIdx.x / emulation::LANES];
    const int lane = threadIdx.x % emulation::LANES;
    warp.slots[lane] = value;
    warp.meeting.wait();
    const float other = warp.slots[lane ^ distance];
    warp.meeting.wait();
    return other;
}
