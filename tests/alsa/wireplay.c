/* "wireplay": an ALSA capture PCM that hears a raw file as a sound card hears its line input, at the exact pace of
 * CLOCK_MONOTONIC, and misbehaves on command. Built by the tests; needs no sound hardware, no daemon and no root.
 *
 *   pcm_type.wireplay { lib "/abs/libasound_module_pcm_wireplay.so" }
 *   pcm.k1line { type wireplay  audio "/abs/line.raw"  fault "/abs/fault"  journal "/abs/journal"  channels 2  rate 44100 }
 *
 * audio    S16_LE frames; the line loops, or with `once true` is silent after the file's end.
 * fault    a file with one word, read again at each poll (none = run):
 *            run | silence | stall (no frames come) | error (the device reports it is gone)
 *            hang (no frames come, and closing what has captured never returns)
 *            unplug (as the kernel does it: poll reports an error for ever, nothing else is said)
 *            dying (gone in the middle of an overrun, which therefore cannot be mended)
 *            xrun N (one reported overrun) | hole N (N ms are lost and nobody says so): once for each new text
 *          While it says error, unplug or dying, the device cannot be opened.
 * journal  one line for each start: `start MONOTONIC_NS POSITION RATE PERIOD BUFFER`; frame POSITION was at the plug then.
 *
 * What is on the line is a function of time alone: sound that is not captured in time is gone, as it is in a room.
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL

struct wire {
	snd_pcm_ioplug_t io;
	char *fault_path, *journal_path;
	char fault[32], served[32]; /* the present command, and the last one-shot that was carried out */
	const int16_t *audio;
	size_t bytes;
	uint64_t frames;
	int channels, once, timer;
	int64_t line_began;    /* when frame 0 was on the line */
	int64_t capture_began; /* when this run would have begun, had it never stalled */
	uint64_t first;        /* frame of the line that this run began with */
	uint64_t lost;         /* frames that passed during this run while it stalled */
	uint64_t captured, taken;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static uint64_t frames_in(const struct wire *w, int64_t ns)
{
	return ns <= 0 ? 0 : (uint64_t)(ns / NS) * w->io.rate + (uint64_t)(ns % NS) * w->io.rate / NS;
}

static void read_fault(struct wire *w)
{
	int fd = w->fault_path ? open(w->fault_path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? 0 : read(fd, w->fault, sizeof w->fault - 1);
	if (fd >= 0)
		close(fd);
	w->fault[n > 0 ? n : 0] = 0;
	w->fault[strcspn(w->fault, "\n")] = 0;
}

static int faulty(const struct wire *w, const char *word)
{
	return strncmp(w->fault, word, strlen(word)) == 0;
}

static int gone(const struct wire *w)
{
	return faulty(w, "error") || faulty(w, "unplug") || faulty(w, "dying");
}

static int once_for_this_text(struct wire *w, const char *word)
{
	if (!faulty(w, word) || strcmp(w->fault, w->served) == 0)
		return 0;
	strcpy(w->served, w->fault);
	return 1;
}

/* Captures what has come down the line since; while stalled, lets it pass by. Negative: an ALSA error to report. */
static int advance(struct wire *w)
{
	uint64_t passed;
	read_fault(w);
	if (faulty(w, "error"))
		return -ENODEV;
	if (faulty(w, "dying"))
		return -EPIPE;
	if (once_for_this_text(w, "xrun"))
		return -EPIPE;
	passed = frames_in(w, now_ns() - w->capture_began);
	if (once_for_this_text(w, "hole"))
		w->lost += (uint64_t)atoi(w->fault + 4) * w->io.rate / 1000;
	if (faulty(w, "stall") || faulty(w, "hang") || faulty(w, "unplug"))
		w->lost = passed - w->captured;
	else if (passed > w->captured + w->lost)
		w->captured = passed - w->lost;
	return w->captured - w->taken > w->io.buffer_size ? -EPIPE : 0;
}

static int wire_start(snd_pcm_ioplug_t *io)
{
	struct wire *w = io->private_data;
	int64_t period_ns = (int64_t)io->period_size * NS / io->rate;
	struct itimerspec tick = { { period_ns / NS, period_ns % NS }, { period_ns / NS, period_ns % NS } };
	FILE *journal;
	read_fault(w);
	if (gone(w))
		return -ENODEV;
	w->capture_began = now_ns();
	if (!w->line_began)
		w->line_began = w->capture_began;
	w->first = frames_in(w, w->capture_began - w->line_began);
	w->captured = w->taken = w->lost = 0;
	if (w->journal_path && (journal = fopen(w->journal_path, "a"))) {
		fprintf(journal, "start %lld %llu %u %lu %lu\n", (long long)w->capture_began, (unsigned long long)w->first,
			io->rate, (unsigned long)io->period_size, (unsigned long)io->buffer_size);
		fclose(journal);
	}
	return timerfd_settime(w->timer, 0, &tick, NULL) < 0 ? -errno : 0;
}

static int wire_stop(snd_pcm_ioplug_t *io)
{
	struct wire *w = io->private_data;
	struct itimerspec off = { { 0, 0 }, { 0, 0 } };
	return timerfd_settime(w->timer, 0, &off, NULL) < 0 ? -errno : 0;
}

static int wire_prepare(snd_pcm_ioplug_t *io)
{
	struct wire *w = io->private_data;
	w->captured = w->taken = w->lost = 0;
	return faulty(w, "error") || faulty(w, "dying") ? -ENODEV : 0;
}

static snd_pcm_sframes_t wire_pointer(snd_pcm_ioplug_t *io)
{
	struct wire *w = io->private_data;
	int error = advance(w);
	return error < 0 ? error : (snd_pcm_sframes_t)(w->captured % io->buffer_size);
}

static int16_t heard(const struct wire *w, uint64_t frame, unsigned channel)
{
	if (faulty(w, "silence") || (w->once && frame >= w->frames))
		return 0;
	return w->audio[frame % w->frames * w->channels + channel];
}

static snd_pcm_sframes_t wire_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				       snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct wire *w = io->private_data;
	uint64_t from = w->first + w->lost + w->taken;
	for (unsigned c = 0; c < io->channels; c++) {
		char *to = (char *)areas[c].addr + (areas[c].first + areas[c].step * offset) / 8;
		for (snd_pcm_uframes_t i = 0; i < size; i++, to += areas[c].step / 8)
			*(int16_t *)to = heard(w, from + i, c);
	}
	w->taken += size;
	return size;
}

static int wire_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned count, unsigned short *events)
{
	struct wire *w = io->private_data;
	uint64_t expired;
	(void)count;
	read_fault(w);
	*events = gone(w) ? POLLERR : fds[0].revents & POLLIN;
	if (faulty(w, "error"))
		return -ENODEV;
	/* An unplugged card's descriptor stays ready for ever: the timer is not read. */
	if (!gone(w) && fds[0].revents & POLLIN && read(w->timer, &expired, sizeof expired) < 0)
		*events = 0;
	return 0;
}

static void discard(struct wire *w)
{
	if (w->audio)
		munmap((void *)w->audio, w->bytes);
	if (w->timer >= 0)
		close(w->timer);
	free(w->fault_path);
	free(w->journal_path);
	free(w);
}

static int wire_close(snd_pcm_ioplug_t *io)
{
	struct wire *w = io->private_data;
	while (w->captured && faulty(w, "hang"))
		pause();
	discard(io->private_data);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = wire_start, .stop = wire_stop, .prepare = wire_prepare, .pointer = wire_pointer,
	.transfer = wire_transfer, .poll_revents = wire_poll_revents, .close = wire_close,
};

static int map_audio(struct wire *w, const char *path)
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	void *map;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &info) < 0 || info.st_size < 2 * w->channels)
		error = -EINVAL;
	else if ((map = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		error = -errno;
	else {
		w->audio = map;
		w->bytes = info.st_size;
		w->frames = info.st_size / (2 * w->channels);
	}
	close(fd);
	return error;
}

static int offer(struct wire *w, long rate)
{
	static const unsigned access[] = { SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED };
	static const unsigned format[] = { SND_PCM_FORMAT_S16_LE };
	snd_pcm_ioplug_t *io = &w->io;
	int e = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
	e = e ? e : snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
	e = e ? e : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, w->channels, w->channels);
	e = e ? e : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, rate ? rate : 44100, rate ? rate : 48000);
	e = e ? e : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64, 1 << 17);
	e = e ? e : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 256, 1 << 19);
	return e ? e : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 128);
}

SND_PCM_PLUGIN_DEFINE_FUNC(wireplay)
{
	struct wire *w = calloc(1, sizeof *w);
	const char *audio = NULL, *fault = NULL, *journal = NULL;
	long channels = 2, rate = 0;
	snd_config_iterator_t at, next;
	int error = -EINVAL;
	(void)root;
	if (!w)
		return -ENOMEM;
	snd_config_for_each(at, next, conf) {
		snd_config_t *entry = snd_config_iterator_entry(at);
		const char *key;
		if (snd_config_get_id(entry, &key) < 0)
			continue;
		if (!strcmp(key, "audio"))
			snd_config_get_string(entry, &audio);
		else if (!strcmp(key, "fault"))
			snd_config_get_string(entry, &fault);
		else if (!strcmp(key, "journal"))
			snd_config_get_string(entry, &journal);
		else if (!strcmp(key, "channels"))
			snd_config_get_integer(entry, &channels);
		else if (!strcmp(key, "rate"))
			snd_config_get_integer(entry, &rate);
		else if (!strcmp(key, "once"))
			w->once = snd_config_get_bool(entry) > 0;
	}
	w->channels = channels;
	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	w->fault_path = fault ? strdup(fault) : NULL;
	w->journal_path = journal ? strdup(journal) : NULL;
	read_fault(w);
	strcpy(w->served, w->fault);
	if (stream != SND_PCM_STREAM_CAPTURE || !audio || channels < 1)
		goto fail;
	if (gone(w)) {
		error = -ENODEV;
		goto fail;
	}
	if ((error = map_audio(w, audio)) < 0)
		goto fail;
	w->io.version = SND_PCM_IOPLUG_VERSION;
	w->io.name = "line input of the tests";
	w->io.callback = &callbacks;
	w->io.private_data = w;
	w->io.poll_fd = w->timer;
	w->io.poll_events = POLLIN;
	if ((error = snd_pcm_ioplug_create(&w->io, name, stream, mode)) < 0)
		goto fail;
	if ((error = offer(w, rate)) < 0) {
		snd_pcm_ioplug_delete(&w->io); /* closes, and so discards */
		return error;
	}
	*pcmp = w->io.pcm;
	return 0;
fail:
	discard(w);
	return error;
}
SND_PCM_PLUGIN_SYMBOL(wireplay);
