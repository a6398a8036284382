// One photo on the page: its picture, its state and its buttons. The same element is used in the list and, larger,
// for a link.
const template = document.querySelector('#print');

const queuedFor = 1500; // ms; see words
const usual = 30_000; // ms

// Returns the text of a state. The server knows only "stored, not finished yet"; whether a worker has the photo is
// guessed from the time, because messages leave an idle queue at once.
export function words(photo, now = Date.now()) {
	const age = now - (photo.since ?? 0);
	switch (photo.stage) {
		case 'checking': return 'Checking the file';
		case 'waiting': return photo.note || 'Waiting to be sent';
		case 'sending': return photo.sent < 100 ? `Sending, ${photo.sent} %` : 'Sent, being stored';
		case 'queued':
			if (age < queuedFor) return 'Queued. The photo is stored.';
			return age < usual ? 'Processing' : 'Still processing. The photo is stored; you can come back later.';
		case 'done': return 'Done';
		case 'looking': return 'Loading the photo';
		case 'empty': return 'No photo has been sent to this link yet.';
		case 'refused': return `Not sent. ${photo.note}`;
		default: return photo.note;
	}
}

const link = (photo) => `${location.origin}/#view=${photo.id}`;

// The clipboard API needs a secure context; the old command works everywhere else.
async function copyText(text) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = document.createElement('textarea');
		const had = document.activeElement;
		area.value = text;
		area.className = 'unseen';
		document.body.append(area);
		area.select();
		const ok = document.execCommand('copy');
		area.remove();
		had?.focus();
		return ok;
	}
}

export class Print {
	#photo;
	#acts;
	#part;
	#timer = 0;
	#tries = 0; // to load the result

	// acts: {remove(photo), retry(photo), pickAgain(photo, file), say(text)}
	constructor(photo, acts) {
		this.#photo = photo;
		this.#acts = acts;
		this.root = template.content.firstElementChild.cloneNode(true);
		this.#part = (name) => this.root.querySelector(`.${name}`);
		this.#picture();
		this.#buttons();
		this.update();
	}

	#buttons() {
		const photo = this.#photo;
		const part = this.#part;
		part('open').href = `#view=${photo.id}`;
		part('refill').href = `#upload=${photo.id}`;
		part('download').href = `/image/${photo.id}/processed?download=1`;
		part('remove').onclick = () => this.#acts.remove(photo);
		part('again').onclick = () => {
			if (photo.stage !== 'done') return this.#acts.retry(photo);
			this.#tries = 0;
			this.#load();
			this.update();
		};
		part('repick').querySelector('input').onchange = (e) => {
			const [file] = e.target.files;
			e.target.value = '';
			if (file) this.#acts.pickAgain(photo, file);
		};
		part('copy').onclick = async () => {
			const ok = await copyText(link(photo));
			this.#acts.say(ok ? 'Link copied' : `Copy this link: ${link(photo)}`);
		};
	}

	#picture() {
		const slider = this.#part('slider');
		slider.oninput = () => this.#divide(slider.valueAsNumber);
		const before = this.#part('before');
		before.onload = () => this.#shape(before);
		before.onerror = () => {
			before.hidden = true;
			this.#part('blank').hidden = false;
		};
		const after = this.#part('after');
		after.onload = () => this.#reveal();
		after.onerror = () => this.#missing();
		this.#part('picture').ontransitionend = () => this.root.classList.remove('sweep');
	}

	// Moves the line: left of it is the original, right of it the result.
	#divide(at) {
		const slider = this.#part('slider');
		slider.value = at;
		slider.setAttribute('aria-valuetext', `${Math.round(100 - at)} percent sepia`);
		this.#part('picture').style.setProperty('--at', `${at}%`);
	}

	// For a link the picture has its own proportions instead of those of the list.
	#shape({ naturalWidth, naturalHeight }) {
		const { style } = this.#part('picture');
		style.setProperty('--ratio', naturalWidth / naturalHeight);
		style.setProperty('--width', `${naturalWidth}px`);
	}

	#load() {
		const after = this.#part('after');
		after.hidden = false;
		after.src = `/image/${this.#photo.id}/processed`;
	}

	// The result has loaded. With an original to compare, the line moves from the right edge to the middle.
	#reveal() {
		const shown = !this.#part('before').hidden;
		const compare = shown || !this.#part('blank').hidden;
		this.root.classList.toggle('comparable', compare);
		this.#tries = 0;
		if (compare && this.#photo.fresh) {
			this.#divide(100);
			this.#part('picture').getBoundingClientRect(); // so that the transition has a start
			this.root.classList.add('sweep');
		}
		if (!shown) this.#shape(this.#part('after'));
		this.#divide(compare ? 50 : 0);
	}

	// The result did not load: the bucket may be unavailable for a moment. After 15 s of attempts the user is told.
	#missing() {
		if (this.#tries++ < 5) setTimeout(() => this.root.isConnected && this.#load(), 250 * 2 ** this.#tries);
		else this.update();
	}

	update() {
		const photo = this.#photo;
		const part = this.#part;
		const { stage } = photo;
		const missed = this.#tries > 5;
		this.root.dataset.stage = stage;
		const name = photo.name || 'The photo';
		part('name').textContent = name;
		this.#say(missed ? 'Done, but the picture does not load.' : words(photo));
		part('warning').textContent = photo.warning ?? '';
		part('warning').hidden = !photo.warning;
		this.#preview(name);
		part('progress').hidden = stage !== 'sending';
		part('progress').value = photo.sent ?? 0;
		part('progress').setAttribute('aria-label', `Sending ${name}`);
		const have = ['queued', 'done'].includes(stage);
		part('open').hidden = !have && stage !== 'failed';
		part('copy').hidden = !have;
		part('download').hidden = stage !== 'done';
		part('refill').hidden = !['empty', 'failed'].includes(stage);
		part('again').hidden = !missed && stage !== 'stopped' && !(photo.again && stage === 'waiting');
		part('repick').hidden = stage !== 'lost';
		part('remove').hidden = Boolean(photo.visitor);
		for (const act of ['open', 'download', 'copy', 'again', 'remove']) {
			part(act).setAttribute('aria-label', `${part(act).textContent.trim()}: ${name}`);
		}
		if (stage === 'done' && !part('after').src) this.#load();
	}

	#say(text) {
		if (this.#part('words').textContent !== text) this.#part('words').textContent = text;
		clearTimeout(this.#timer);
		if (this.#photo.stage !== 'queued') return;
		const age = Date.now() - (this.#photo.since ?? 0);
		const next = [queuedFor, usual].find((t) => t > age);
		if (next) this.#timer = setTimeout(() => this.update(), next - age + 20);
	}

	#preview(name) {
		const before = this.#part('before');
		const blank = this.#part('blank'); // in place of an original that this browser cannot show
		const { url, kind } = this.#photo;
		if (url && before.src !== url) {
			before.src = url;
			before.hidden = false;
		}
		if (url || kind) blank.hidden = !before.hidden;
		blank.textContent = `${name}\nThis browser cannot show this ${kind ?? 'photo'}.`;
		before.alt = `${name}, before`;
		this.#part('after').alt = `${name}, in sepia`;
		this.#part('slider').setAttribute('aria-label', `Compare before and after: ${name}`);
		this.#part('picture').style.setProperty('--sent', `${this.#photo.sent ?? 0}%`);
	}

	dispose() {
		clearTimeout(this.#timer);
		this.root.remove();
	}
}
