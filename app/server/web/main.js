// The page: routes, ways to add photos, and announcements for screen readers.
import { maxPixels } from './check.js';
import * as model from './photos.js';
import { Print, words } from './view.js';

const $ = (id) => document.getElementById(id);
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const prints = new Map(); // photo id -> its Print in the list
let shown = null; // {photo, print} behind a #view= link
let into = ''; // the id of an #upload= link

function changed(photo) {
	const listed = model.photos.get(photo.id) === photo;
	const entry = prints.get(photo.id);
	if (entry?.photo === photo && listed) {
		entry.print.update();
	} else {
		entry?.print.dispose();
		entry?.li.remove();
		prints.delete(photo.id);
		if (listed) list(photo);
	}
	if (shown?.photo === photo) show();
	$('sheet').hidden = prints.size === 0;
	document.body.classList.toggle('started', prints.size > 0);
	announce(photo);
}

const acts = { remove, retry: model.retry, pickAgain: model.pickAgain, say };

function list(photo) {
	const print = new Print(photo, acts);
	const li = document.createElement('li');
	li.added = photo.added;
	li.append(print.root);
	$('prints').insertBefore(li, [...$('prints').children].find((other) => other.added < li.added) ?? null);
	prints.set(photo.id, { photo, li, print });
}

// Announces changes of a photo to screen readers, each once. The state at the start of the page is not announced.
function announce(photo) {
	const { announced } = photo;
	photo.announced = photo.again ? 'again' : photo.stage;
	const worthIt = ['again', 'refused', 'lost', 'stopped', 'done', 'failed'].includes(photo.announced);
	if (announced && announced !== photo.announced && worthIt) {
		say(`${photo.name || 'The photo'}: ${words(photo)} ${photo.warning ?? ''}`, false);
	}
}

function say(text, toast = true) {
	const p = document.createElement('p');
	p.textContent = text;
	$('log').append(p);
	while ($('log').children.length > 10) $('log').firstChild.remove();
	if (toast) showToast(text);
}

let toastTimer = 0;
let onHide = () => {};
function showToast(text, { undo, purge } = {}) {
	onHide();
	onHide = purge ?? (() => {});
	$('toast-text').textContent = text;
	$('undo').hidden = !undo;
	$('undo').onclick = () => {
		undo();
		$('toast').hidden = true;
		$('sheet').querySelector('h2').focus();
	};
	$('toast').hidden = false;
	clearTimeout(toastTimer);
	toastTimer = setTimeout(hideToast, undo ? 10_000 : 4000);
}

// Not while the pointer or the keyboard focus is on it: the user may be about to undo.
function hideToast() {
	if ($('toast').matches(':hover, :has(:focus-visible)')) {
		toastTimer = setTimeout(hideToast, 2000);
		return;
	}
	$('toast').hidden = true;
	onHide();
}

function remove(photo) {
	const way = model.remove(photo);
	if (shown?.photo === photo) location.hash = '';
	say(`Removed ${photo.name} from this list`, false);
	showToast(`Removed “${photo.name}” from this list`, way);
	$('undo').focus();
}

function route() {
	const [, view, rest] = /^#(view|upload)=(.*)$/.exec(location.hash) ?? [];
	const id = (rest ?? '').toLowerCase();
	if (shown) {
		shown.print.dispose();
		model.leave(shown.photo);
		shown = null;
	}
	into = view === 'upload' && uuid.test(id) ? id : '';
	const broken = view && !uuid.test(id);
	document.body.dataset.route = broken ? 'broken' : (view ?? 'home');
	$('pick').multiple = !into;
	$('pick-text').textContent = into ? 'Choose a photo' : 'Choose photos';
	$('upload-id').textContent = into;
	if (view === 'view' && !broken) {
		const photo = model.visit(id);
		shown = { photo, print: new Print(photo, acts) };
		$('stage').append(shown.print.root);
		$('view-id').textContent = id;
		show();
	} else {
		document.title = into ? `Upload ${into} · Imagery` : 'Imagery';
	}
}

function show() {
	const { photo, print } = shown;
	print.update();
	const none = ['gone', 'empty'].includes(photo.stage);
	$('view-title').textContent = photo.name || (none ? 'No photo here' : 'A photo');
	$('refresh').hidden = !['looking', 'queued', 'empty'].includes(photo.stage);
	document.title = `${photo.name || 'Photo'} ${photo.id} · Imagery`;
}

// After a change of the route, scroll to the top and move the focus, as after any other link.
function followLink() {
	route();
	scrollTo(0, 0);
	document.querySelector(`[data-for="${document.body.dataset.route}"] h1`)?.focus();
}

function take(files) {
	if (files.length === 0) return;
	const [photo] = model.add(files, into || undefined);
	if (into) location.hash = `#view=${photo.id}`;
	else if (location.hash) location.hash = '';
}

for (const input of [$('pick'), $('shoot')]) {
	input.addEventListener('change', () => {
		take([...input.files]);
		input.value = ''; // so that the same file can be chosen again
	});
}

addEventListener('paste', (e) => {
	const files = [...(e.clipboardData?.files ?? [])];
	if (files.length) e.preventDefault();
	take(files);
});

// The whole window accepts drops: a photo dropped beside the tray must not replace the page.
let leaving = 0;
addEventListener('dragover', (e) => {
	if (!e.dataTransfer.types.includes('Files')) return;
	e.preventDefault();
	e.dataTransfer.dropEffect = 'copy';
	document.body.classList.add('dragging');
	clearTimeout(leaving);
	leaving = setTimeout(() => document.body.classList.remove('dragging'), 300);
});
addEventListener('drop', (e) => {
	if (!e.dataTransfer.types.includes('Files')) return;
	e.preventDefault();
	document.body.classList.remove('dragging');
	take([...e.dataTransfer.files]);
});

// A machine without a network still reaches a server on itself, so "offline" is shown only after a failed request.
async function checkNetwork() {
	let reached = true;
	if (!navigator.onLine) reached = await fetch('/healthz', { cache: 'no-store' }).then(() => true, () => false);
	if (!reached && $('offline').hidden) say($('offline').textContent, false);
	$('offline').hidden = reached;
	if (reached) model.wake();
}
addEventListener('online', checkNetwork);
addEventListener('offline', checkNetwork);
addEventListener('hashchange', followLink);
addEventListener('pagehide', model.release);
document.addEventListener('resume', checkNetwork); // after the browser had frozen the tab
addEventListener('pageshow', (e) => e.persisted && model.wake());
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && checkNetwork());
addEventListener('beforeunload', (e) => model.wouldLosePhotos() && e.preventDefault());

$('refresh').onclick = model.wake;
$('megapixels').textContent = Math.floor(maxPixels / 1e5) / 10;
const demo = $('demo');
demo.oninput = () => demo.parentElement.style.setProperty('--at', `${demo.value}%`);

$('forgetful').hidden = await model.start(changed);
document.body.classList.add('ready'); // for tests
route();
if (!navigator.onLine) checkNetwork();
