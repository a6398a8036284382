package model

import (
	"errors"
	"slices"

	"imagery/app/imagery"
)

// excused reports whether an unspecific error has a reason: a fault in one of the operation's calls, or a conflict.
func (op *operation) excused(err error) bool {
	return op.faults > 0 || errors.Is(err, imagery.ErrConflict)
}

// gone reports whether the image did not exist at some moment of the operation, by the clock of this process.
func (op *operation) gone(r *row) bool {
	now := op.by.proc.Now()
	return r.during(op.began, func(m revision) bool { return !m.exists || m.img.Expired(now) })
}

// checkRead checks that the answer of a read was true at some moment of the read.
func (w *world) checkRead(op *operation, id string, img imagery.Image, err error) {
	r := w.row(id)
	switch {
	case err == nil:
		must(r.during(op.began, func(m revision) bool { return m.matches(img) }), trueAnswer,
			"%s read %s, while the row held %s",
			op.by.name, revision{exists: true, img: img}, r.last())
	case errors.Is(err, imagery.ErrNotFound):
		must(op.gone(r), trueAnswer, "%s found nothing, while the row held %s", op.by.name, r.last())
	default:
		must(op.excused(err), noReason, "%s: %v", op.by.name, err)
	}
}

// checkCreated checks the answer to a create.
func (w *world) checkCreated(op *operation, id string, img imagery.Image, fresh bool, err error) {
	must(!errors.Is(err, imagery.ErrNotFound), noReason, "%s: %v", op.by.name, err)
	w.checkRead(op, id, img, err)
	must(!fresh || img.State == imagery.Created && img.Version == 0, trueAnswer, "%s made %+v", op.by.name, img)
}

// checkUpload checks the answer to an upload, and records a success in the row.
func (w *world) checkUpload(op *operation, id, key string, img imagery.Image, hintErr, err error) {
	r, who := w.row(id), op.by.name
	taken := func(m revision) bool {
		return m.exists && (m.img.State == imagery.Uploaded || m.img.State == imagery.Processed) && m.img.RawKey != key
	}
	switch {
	case errors.Is(err, imagery.ErrAlreadyUploaded):
		w.seen["taken"]++
		must(r.during(op.began, taken), trueAnswer, "%s was refused, while the row held %s", who, r.last())
		must(op.puts == 0 || r.during(op.began, func(m revision) bool { return !taken(m) }), refusal,
			"%s was refused and stored %s", who, key)
		must(len(op.sent) == 0, refusal, "%s was refused and sent a hint", who)
		return
	case err != nil:
		w.checkRead(op, id, img, err)
		return
	}
	w.seen["accepted"]++
	w.checkRead(op, id, img, err)
	must(img.RawKey == key && (img.State == imagery.Uploaded || img.State == imagery.Processed), keeps,
		"%s is answered %s",
		who, revision{exists: true, img: img})
	must(hintErr == nil || op.faults > 0, noReason, "%s: %v", who, hintErr)
	sent := func(h imagery.Hint) bool {
		return h.ImageID == id && h.RawKey == key && h.DesiredState == imagery.Processed
	}
	must(img.State != imagery.Uploaded || hintErr != nil || slices.ContainsFunc(op.sent, sent), hintAgain,
		"%s is answered %s, and no hint was sent",
		who, revision{exists: true, img: img})
	if entry := (accepted{key, r.last().img.RawKey != key}); !slices.Contains(r.accepted, entry) {
		r.accepted = append(r.accepted, entry)
	}
}

// checkRequeue checks the answer to an operator's requeue.
func (w *world) checkRequeue(op *operation, id string, img imagery.Image, moved bool, err error) {
	r, who := w.row(id), op.by.name
	if r == nil {
		must(err != nil, trueAnswer, "%s brought back an image that never was", who)
		return
	}
	in := func(states ...imagery.State) bool {
		return r.during(op.began, func(m revision) bool { return m.exists && slices.Contains(states, m.img.State) })
	}
	switch {
	case errors.Is(err, imagery.ErrNothingToRequeue):
		must(in(imagery.Created, imagery.Processed), trueAnswer, "%s: %v, while the row held %s", who, err, r.last())
	case errors.Is(err, imagery.ErrOriginalGone):
		must(op.missing, trueAnswer, "%s: %v", who, err)
	case errors.Is(err, imagery.ErrNotSelected): // the condition is the caller's
	case err != nil && !moved:
		w.checkRead(op, id, img, err)
	case err != nil:
		must(op.faults > 0, noReason, "%s: %v", who, err)
	default:
		w.seen["brought back"]++
		sent := func(h imagery.Hint) bool { return h.ImageID == id && h.RawKey == img.RawKey }
		must(slices.ContainsFunc(op.sent, sent), hintAgain, "%s is answered %s, and no hint was sent", who,
			revision{exists: true, img: img})
		w.checkRead(op, id, img, nil)
	}
	must(!moved || slices.Contains(op.moved, imagery.Uploaded), trueAnswer, "%s says that it moved %s", who, r.last())
}

// checkJob checks the report of a job.
func (w *world) checkJob(op *operation, hint imagery.Hint, report imagery.JobResult, err error) {
	r, who := w.row(hint.ImageID), op.by.name
	if err != nil {
		w.seen["job failed"]++
		lost := !op.delivery.own(w.now)
		must(op.refused == "" || op.excused(err) || lost, badPhoto, "%s: job of %s: %v", who, op.delivery.message.ID, err)
		must(op.refused != "" || op.excused(err) || op.missing, noReason, "%s: job of %s: %v", who, op.delivery.message.ID,
			err)
		return
	}
	w.seen["job "+string(report.Outcome)]++
	holds := false
	switch report.Outcome {
	case imagery.Done:
		holds = slices.Contains(op.moved, imagery.Processed)
	case imagery.PermanentFailure:
		holds = slices.Contains(op.moved, imagery.Failed)
	case imagery.AlreadyDone:
		holds = r.during(op.began, func(m revision) bool { return m.exists && m.img.State.Final() })
	case imagery.NoWork:
		holds = r == nil || op.gone(r) || r.during(op.began, func(m revision) bool { return m.img.State == imagery.Created })
	}
	must(holds, trueAnswer, "%s reports %q of %s", who, report.Outcome, hint.ImageID)
}

// checkReconciled checks the report of a reconciler pass.
func (w *world) checkReconciled(op *operation, r imagery.Repairs, err error) {
	must(err == nil || op.excused(err), noReason, "%s: %v", op.by.name, err)
	if op.faults > 0 {
		return
	}
	if !r.Leader {
		w.seen["not the leader"]++
	}
	w.seen["hint sent again"] += r.Resent
	w.seen["dead letter explained"] += r.MarkedFailed
	failed := 0
	for _, s := range op.moved {
		if s == imagery.Failed {
			failed++
		}
	}
	must(op.touches == len(op.sent), noted, "%s sent %d hints and noted %d", op.by.name, len(op.sent), op.touches)
	must(r.Resent == len(op.sent) && r.MarkedFailed == failed, trueAnswer,
		"%s reports %+v, and sent %d hints and failed %d images",
		op.by.name, r, len(op.sent), failed)
}
