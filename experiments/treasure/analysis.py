def analyse(records):
    for r in records.rows:
        g=r["goals"]; who=r["arm"]; v=g["voice"][who]
        k=records.labs[who].corpus.names.index(who)
        print(f"{who:11} {r['seed']} {r['step']:4d} trained {g['rates']['trained']:.2f} fav {g['rates']['favourites']:.2f} orph {g['rates']['orphans']:.2f} later {g['later']['orphans']:.2f} tells {v['tells']:.2f} op {v['opener']:.2f} cl {v['closer']:.2f} w {r['reading']['learned']['weights'][k]:.2f} F0 {r['reading']['learned']['F0']:.2f} F1 {r['reading']['learned']['F1']:.2f} F2 {r['reading']['learned']['F2']:.2f} held {({a:(None if b is None else round(b,2)) for a,b in g.get('held_out_nats',{}).items()})} someone {g['under']['someone']['orphans']:.2f}", flush=True)
    raise SystemExit
